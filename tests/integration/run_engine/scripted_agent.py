"""A peer that speaks AgentService and does what a test's script says; it stands for agent_fn, not for the wire."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest, ExecuteResponse, ListAgentsRequest
from dormouse.agent.v1.agent_service_pb2_grpc import AgentServiceServicer, add_AgentServiceServicer_to_server
from dormouse.agent.v1.run_event_pb2 import (
    CheckpointSaved,
    FinishReason,
    Handoff,
    MessageDelta,
    MessageFinished,
    MessageStarted,
    RunEvent,
    RunFinished,
    UsageReported,
)
from dormouse_runtime.errors import DormouseError, abort

Script = Callable[[ExecuteRequest], AsyncGenerator[RunEvent, None]]


class ScriptedAgent(AgentServiceServicer):
    """Answers every Execute with the script's events; `requests` are the calls so far, `cancelled` the cut ones."""

    def __init__(self) -> None:
        self.script: Script = saying("hello")
        self.requests: list[ExecuteRequest] = []
        self.cancelled: list[str] = []
        self.refusal: int | None = None
        """An ErrorReason that every call is refused with."""
        self.failures: list[grpc.StatusCode] = []
        """Bare statuses that the next calls end with, as when a process dies."""

    async def Execute(  # noqa: N802 - gRPC's name
        self, request: ExecuteRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[ExecuteResponse]:
        self.requests.append(request)
        if self.failures:
            await context.abort(self.failures.pop(0), "gone")
        if self.refusal is not None:
            await abort(context, DormouseError(self.refusal, "Refused."))
        finished = False
        try:
            async for event in self.script(request):
                yield ExecuteResponse(events=[event])
            finished = True
        finally:
            if not finished:
                self.cancelled.append(request.run_id)

    async def ListAgents(self, request: ListAgentsRequest, context: grpc.aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    GetThreadState = PruneThreads = ListAgents  # type: ignore[assignment]


@asynccontextmanager
async def serving(agent: ScriptedAgent) -> AsyncIterator[str]:
    """Serves the agent on a free port; yields its address."""
    server = grpc.aio.server()
    add_AgentServiceServicer_to_server(agent, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def started(message_id: str = "m1") -> RunEvent:
    return RunEvent(message_started=MessageStarted(message_id=message_id))


def delta(text: str, message_id: str = "m1") -> RunEvent:
    return RunEvent(message_delta=MessageDelta(message_id=message_id, text=text, pieces=1))


def ended(message_id: str = "m1") -> RunEvent:
    return RunEvent(message_finished=MessageFinished(message_id=message_id))


def usage(completion: int) -> RunEvent:
    return RunEvent(usage_reported=UsageReported(model="scripted", prompt_tokens=3, completion_tokens=completion))


def finished() -> RunEvent:
    return RunEvent(run_finished=RunFinished(finish_reason=FinishReason.FINISH_REASON_STOP))


def handoff() -> RunEvent:
    return RunEvent(handoff=Handoff())


def base(checkpoint_id: str) -> RunEvent:
    return RunEvent(checkpoint_saved=CheckpointSaved(checkpoint_id=checkpoint_id, is_base=True))


def saying(*words: str) -> Script:
    """A script that says the words that the log does not hold yet, then finishes."""

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        said = "".join(message.text for message in request.recovery.messages)
        yield started()
        for index, word in enumerate(words):
            if len("".join(words[: index + 1])) > len(said):
                yield delta(word)
        yield ended()
        yield usage(len(words))
        yield finished()

    return script
