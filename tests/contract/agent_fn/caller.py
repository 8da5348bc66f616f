"""A caller of agent_fn, as the edge is one: real tokens, real gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
from dormouse.agent.v1 import agent_pb2, agent_service_pb2_grpc, run_event_pb2
from dormouse.agent.v1.agent_pb2 import RecoveredMessage, RecoveredToolResult, Recovery
from dormouse.agent.v1.agent_service_pb2 import (
    ExecuteRequest,
    ExecuteResponse,
    GetThreadStateRequest,
    GetThreadStateResponse,
    ListAgentsRequest,
    ListAgentsResponse,
    PruneMode,
    PruneThreadsRequest,
)
from dormouse.agent.v1.message_pb2 import ROLE_USER, ContentPart, Message
from dormouse_runtime.client import call_metadata, open_channel
from dormouse_runtime.errors import DormouseError, from_rpc_error

from tests.stack import AgentFn, Stack, Tenant

TIMEOUT_S = 20.0
Event = run_event_pb2.RunEvent
Metadata = tuple[tuple[str, str], ...]


def user(text: str, message_id: str = "") -> Message:
    """A user's message."""
    return Message(id=message_id, role=ROLE_USER, content=[ContentPart(text=text)])


def request(*texts: str, run_id: str = "run_1", **fields: Any) -> ExecuteRequest:
    """A run of the chat agent with these user messages."""
    return ExecuteRequest(**{"run_id": run_id, "agent_id": "chat", "input": [user(text) for text in texts], **fields})


class Caller:
    """Calls one agent_fn on behalf of one tenant; failures come as DormouseError."""

    def __init__(self, stub: agent_service_pb2_grpc.AgentServiceAsyncStub, metadata: Metadata) -> None:
        self._stub = stub
        self._metadata = metadata

    async def events(self, execute: ExecuteRequest, *, timeout: float = TIMEOUT_S) -> AsyncIterator[Event]:
        """A run's events; leaving the iteration cancels the call."""
        call = self._stub.Execute(execute, timeout=timeout, metadata=self._metadata)
        try:
            response: ExecuteResponse
            async for response in call:
                for event in response.events:
                    yield event
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        finally:
            call.cancel()

    async def run(self, execute: ExecuteRequest, *, timeout: float = TIMEOUT_S) -> list[Event]:
        """All of a run's events."""
        return [event async for event in self.events(execute, timeout=timeout)]

    async def failure(self, execute: ExecuteRequest) -> tuple[DormouseError, list[Event]]:
        """The error that a run fails with, and the events before it."""
        seen: list[Event] = []
        try:
            async for event in self.events(execute):
                seen.append(event)
        except DormouseError as error:
            return error, seen
        raise AssertionError(f"the run did not fail: {kinds(seen)}")

    def open(self, execute: ExecuteRequest) -> Any:
        """An open call, the caller's to read and to cancel."""
        return self._stub.Execute(execute, timeout=TIMEOUT_S, metadata=self._metadata)

    async def start(self, execute: ExecuteRequest) -> tuple[Any, list[Event]]:
        """A run up to its first text; the call is open and the caller's to read on or to cancel."""
        call: Any = self._stub.Execute(execute, timeout=TIMEOUT_S, metadata=self._metadata)
        seen: list[Event] = []
        while "message_delta" not in kinds(seen):
            response = await call.read()
            seen += response.events
        return call, seen

    async def rest(self, call: Any) -> list[Event]:
        """What an open call still says."""
        seen: list[Event] = []
        try:
            while (response := await call.read()) is not grpc.aio.EOF:
                seen += response.events
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        return seen

    async def agents(self) -> ListAgentsResponse:
        return await self._stub.ListAgents(ListAgentsRequest(), timeout=TIMEOUT_S, metadata=self._metadata)

    async def state(self, thread_id: str, checkpoint_id: str = "") -> GetThreadStateResponse:
        asked = GetThreadStateRequest(thread_id=thread_id, checkpoint_id=checkpoint_id)
        try:
            return await self._stub.GetThreadState(asked, timeout=TIMEOUT_S, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    async def prune(self, *thread_ids: str, mode: PruneMode.ValueType) -> None:
        asked = PruneThreadsRequest(thread_ids=thread_ids, mode=mode)
        try:
            await self._stub.PruneThreads(asked, timeout=TIMEOUT_S, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error


@asynccontextmanager
async def calling(stack: Stack, agent_fn: AgentFn, tenant: Tenant, *scopes: str) -> AsyncIterator[Caller]:
    """A caller with a channel of its own; with scopes it sends a token for tools, too."""
    metadata = call_metadata(stack.token(tenant))
    if scopes:
        metadata += (("x-dormouse-tools", stack.token(tenant, audience="tool_fn", scopes=scopes)),)
    async with open_channel(agent_fn.address) as channel:
        yield Caller(agent_service_pb2_grpc.AgentServiceStub(channel), metadata)


def kinds(events: Sequence[Event]) -> list[str]:
    """What happened, neighbouring deltas as one."""
    found: list[str] = []
    for event in events:
        kind = event.WhichOneof("event") or ""
        if not (kind.endswith("_delta") and found and found[-1] == kind):
            found.append(kind)
    return found


def text_of(events: Sequence[Event]) -> str:
    return "".join(event.message_delta.text for event in events)


def reasoning_of(events: Sequence[Event]) -> str:
    return "".join(event.reasoning_delta.text for event in events)


def only(events: Sequence[Event], kind: str) -> Any:
    """The one event of this kind."""
    found = [getattr(event, kind) for event in events if event.WhichOneof("event") == kind]
    assert len(found) == 1, f"{len(found)} of {kind}"
    return found[0]


def cut(events: Sequence[Event], pieces: int) -> list[Event]:
    """The events of an attempt that was cut off after so many pieces, if not in the middle of one."""
    told: list[Event] = []
    for event in events:
        if pieces <= 0 or event.HasField("message_finished"):
            break
        told.append(event)
        pieces -= event.message_delta.pieces + event.reasoning_delta.pieces
    return told


def recovery(events: Sequence[Event], *, may_replace: bool = False, attempt: int = 2) -> Recovery:
    """What the edge would send after an attempt that said this."""
    messages: dict[str, RecoveredMessage] = {}
    calls: dict[str, RecoveredToolResult] = {}
    state, tokens = "", 0
    patches: list[str] = []
    for event in events:
        kind = event.WhichOneof("event")
        if kind == "message_started":
            messages[event.message_started.message_id] = RecoveredMessage(message_id=event.message_started.message_id)
        elif kind == "message_delta":
            message = messages[event.message_delta.message_id]
            message.text += event.message_delta.text
            message.pieces += event.message_delta.pieces
        elif kind == "reasoning_delta":
            message = messages[event.reasoning_delta.message_id]
            message.reasoning += event.reasoning_delta.text
            message.reasoning_pieces += event.reasoning_delta.pieces
        elif kind == "message_replaced":
            replaced = event.message_replaced
            messages[replaced.message_id] = RecoveredMessage(message_id=replaced.message_id, text=replaced.text)
        elif kind == "message_finished":
            messages[event.message_finished.message_id].finished = True
        elif kind == "tool_call_started":
            started = event.tool_call_started
            calls[started.tool_call_id] = RecoveredToolResult(
                tool_call_id=started.tool_call_id, name=started.name, outcome_unknown=True
            )
        elif kind == "tool_call_args":
            calls[event.tool_call_args.tool_call_id].arguments_json += event.tool_call_args.delta
        elif kind == "tool_result":
            result = event.tool_result
            call = calls[result.tool_call_id]
            call.content, call.is_error, call.outcome_unknown = result.content, result.is_error, result.outcome_unknown
        elif kind == "state_snapshot":
            state, patches = event.state_snapshot.json, []
        elif kind == "state_delta":
            patches.append(event.state_delta.patch_json)
        elif kind == "usage_reported":
            tokens += event.usage_reported.prompt_tokens + event.usage_reported.completion_tokens
    return Recovery(
        attempt=attempt,
        messages=messages.values(),
        tool_results=calls.values(),
        may_replace=may_replace,
        state_json=state,
        state_patches_json=patches,
        tokens=tokens,
    )


def options(**values: Any) -> agent_pb2.GenerationOptions:
    return agent_pb2.GenerationOptions(**values)
