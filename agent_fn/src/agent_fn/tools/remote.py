"""ToolService as a toolbox: lists and calls tools over gRPC, with the token that came with the run."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc.aio
from dormouse.common.v1 import error_pb2
from dormouse.tool.v1 import tool_pb2, tool_service_pb2, tool_service_pb2_grpc
from dormouse_runtime import deadlines
from dormouse_runtime.client import Metadata, call_metadata, open_channel
from dormouse_runtime.errors import DormouseError, from_rpc_error

from agent_fn.conversation import ToolCall
from agent_fn.source_protos import source_from_proto
from agent_fn.tools.listing import Listings
from agent_fn.tools.port import DEFAULT_TIME_LIMIT_S, ToolDescription, ToolOutcome, unknown_outcome

_logger = logging.getLogger(__name__)
# What a call may take above its tool's own limit: a function that wakes, a queue.
_MARGIN_S: Final = 10.0
_FIRST_DELAY_S: Final = 0.1
_LAST_DELAY_S: Final = 2.0
_TELL_EVERY_S: Final = 0.25
_DOCUMENTS_TOKEN: Final = "x-dormouse-documents"  # noqa: S105 - the name of metadata
_E = error_pb2
# Nothing has begun where one of these is the answer.
_TURNED_AWAY: Final = frozenset((_E.ERROR_REASON_SHUTTING_DOWN, _E.ERROR_REASON_OVERLOADED))
_PASSING: Final = _TURNED_AWAY | {_E.ERROR_REASON_FUNCTION_UNAVAILABLE, _E.ERROR_REASON_DATABASE_UNAVAILABLE}
# Said before a tool is begun, in words that may help a model.
_REFUSALS: Final = frozenset(
    (_E.ERROR_REASON_TOOL_NOT_FOUND, _E.ERROR_REASON_INVALID_ARGUMENT, _E.ERROR_REASON_PERMISSION_DENIED)
)


class RemoteTools:
    """One ToolService. Keeps no connection while no run needs it, so that it can scale to zero."""

    def __init__(self, stub: tool_service_pb2_grpc.ToolServiceAsyncStub, listings: Listings, retry_s: float) -> None:
        self._stub = stub
        self._listings = listings
        self._retry_s = retry_s

    @classmethod
    @asynccontextmanager
    async def connect(cls, target: str, retry_s: float) -> AsyncIterator[RemoteTools]:
        """Connects with the first call. `retry_s`: how long calls are tried again that it can't take or breaks off."""
        async with open_channel(target) as channel:
            stub: Any = tool_service_pb2_grpc.ToolServiceStub(channel)
            listings = Listings(stub, retry_s)
            try:
                yield cls(stub, listings, retry_s)
            finally:
                await listings.aclose()

    def open(self, tenant: str, token: str, documents_token: str = "") -> RemoteToolbox:
        """The tools of one run. `tenant` is the verified one of whoever asked for the run. `documents_token` is handed
        on with every call, for tools that read documents; empty: none may.
        """
        return RemoteToolbox(self._stub, self._listings, tenant, token, self._retry_s, documents_token)


class RemoteToolbox:
    """See tools.port.Toolbox."""

    def __init__(
        self,
        stub: tool_service_pb2_grpc.ToolServiceAsyncStub,
        listings: Listings,
        tenant: str,
        token: str,
        retry_s: float,
        documents_token: str = "",
    ) -> None:
        self._stub = stub
        self._listings = listings
        self._tenant = tenant
        self._token = token
        self._documents_token = documents_token
        self._retry_s = retry_s
        self._tools: Sequence[ToolDescription] | None = None
        self.is_reachable = True

    async def describe(self) -> Sequence[ToolDescription]:
        """See Toolbox. What one run has once been told stays."""
        if self._tools is None:
            try:
                self._tools = await self._listings.get(self._tenant, self._token)
            except DormouseError:
                self.is_reachable = False
                return ()
            self.is_reachable = True
        return self._tools

    async def invoke(self, call: ToolCall, *, key: str, tell: Callable[[str], None]) -> ToolOutcome:
        """See Toolbox.

        Tried again where ToolService is away or dies. For a tool with side effects that is safe by the key, and for
        others anyway.
        """
        tool = next((tool for tool in self._tools or () if tool.name == call["name"]), None)
        metadata = call_metadata(self._token)
        if self._documents_token:
            metadata += ((_DOCUMENTS_TOKEN, self._documents_token),)
        invocation = _Invocation(self._stub, metadata, call, key, tell, tool)
        return await invocation.run(self._retry_s)


class _Invocation:
    def __init__(
        self,
        stub: tool_service_pb2_grpc.ToolServiceAsyncStub,
        metadata: Metadata,
        call: ToolCall,
        key: str,
        tell: Callable[[str], None],
        tool: ToolDescription | None,
    ) -> None:
        self._stub = stub
        self._metadata = metadata
        self._name = call["name"]
        self._request = tool_service_pb2.InvokeRequest(
            name=call["name"], arguments_json=call["arguments_json"], idempotency_key=key, tool_call_id=call["id"]
        )
        self._limit_s = DEFAULT_TIME_LIMIT_S if tool is None else tool.time_limit_s
        self._has_side_effects = tool is None or tool.has_side_effects
        self._tell = tell
        self._told_at = -math.inf
        self._may_have_begun = False
        self._loop = asyncio.get_running_loop()

    async def run(self, retry_s: float) -> ToolOutcome:
        """Calls until there is an outcome."""
        delay_s, give_up = _FIRST_DELAY_S, math.inf
        while True:
            try:
                return await self._once()
            except DormouseError as error:
                give_up = min(give_up, self._loop.time() + retry_s)
                left = deadlines.remaining_s()
                if (
                    error.reason not in _PASSING
                    or self._loop.time() + delay_s > give_up
                    or (left is not None and left <= delay_s)
                ):
                    return self._failed(error)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _LAST_DELAY_S)

    async def _once(self) -> ToolOutcome:
        stream = self._stub.Invoke(self._request, timeout=self._limit_s + _MARGIN_S, metadata=self._metadata)
        try:
            response: tool_service_pb2.InvokeResponse
            async for response in stream:
                if response.HasField("result"):
                    return _outcome(response.result)
                if response.HasField("progress"):
                    self._show(response.progress.message)
        except grpc.aio.AioRpcError as failed:
            error = from_rpc_error(failed)
            if error.reason not in _TURNED_AWAY | _REFUSALS and not _never_connected(failed):
                self._may_have_begun = True
            raise error from failed
        finally:
            stream.cancel()
        self._may_have_begun = True
        raise DormouseError(_E.ERROR_REASON_FUNCTION_UNAVAILABLE, "The tool's answer has no result.")

    def _show(self, message: str) -> None:
        now = self._loop.time()
        if message and now - self._told_at >= _TELL_EVERY_S:
            self._told_at = now
            self._tell(message)

    def _failed(self, error: DormouseError) -> ToolOutcome:
        """The outcome of a call without a result."""
        _logger.warning("a tool call failed", extra={"tool": self._name, "reason": error.reason_name})
        if error.reason in _REFUSALS:
            return ToolOutcome(error.message, is_error=True)
        if self._has_side_effects and self._may_have_begun:
            return unknown_outcome(self._name)
        if error.reason == _E.ERROR_REASON_DEADLINE_EXCEEDED:
            text = f"{self._name} gave no result within {self._limit_s:g} seconds."
        elif error.reason in _PASSING and self._may_have_begun:
            text = f"{self._name} was lost before it had a result, each time that it was tried."
        elif error.reason in _PASSING:
            text = f"{self._name} cannot be reached at the moment. It was not run."
        else:
            text = f"{self._name} failed on its side and gave no result."
        return ToolOutcome(text, is_error=True, is_answered=False)


def _outcome(result: tool_pb2.InvokeResult) -> ToolOutcome:
    return ToolOutcome(
        result.content,
        result.is_error,
        result.outcome_unknown,
        result.duration_ms,
        sources=tuple(map(source_from_proto, result.sources)),
    )


def _never_connected(failed: grpc.aio.AioRpcError) -> bool:
    """Whether there was no connection that the call could have gone out on."""
    return failed.code() is grpc.StatusCode.UNAVAILABLE and "failed to connect" in (failed.details() or "").lower()
