"""tool_fn as the edge calls it: which tools there are, and single calls on behalf of a caller."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import grpc
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse.tool.v1.tool_pb2 import Tool
from dormouse.tool.v1.tool_service_pb2 import InvokeRequest, InvokeResponse, ListToolsRequest
from dormouse.tool.v1.tool_service_pb2_grpc import ToolServiceStub
from dormouse_runtime.client import call_metadata
from dormouse_runtime.errors import DETAILS_KEY, DormouseError, from_rpc_error
from dormouse_runtime.identity import TokenIssuer

from .auth.caller import Caller
from .policy.grants import tool_names
from .runs.agent_client import DOCUMENTS_AUDIENCE, DOCUMENTS_METADATA, DOCUMENTS_SCOPES
from .tool_scopes import ALL_TOOLS

_log = logging.getLogger(__name__)

FUNCTION: Final = "tool_fn"
SCOPES: Final = (ALL_TOOLS,)
"""Lists hold every tool that the tenant may use; each caller is shown what is granted to them."""

FRESH_S: Final = 10.0
"""So long a list is given again without asking."""

CACHE_LIMIT: Final = 1_000
"""Tenants whose lists are kept."""

LIST_TIMEOUT_S: Final = 10.0
CALL_MARGIN_S: Final = 20.0
"""What a call may take beyond the tool's own limit: the function may have to start first."""

# A process that dies in mid-call shows as one of these, by chance.
_BROKEN: Final = frozenset((grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN))

PROBE: Final = Caller(tenant="_system", user="edge", key_id="")
"""Who asks when it is for nobody."""


@dataclass(frozen=True, slots=True)
class _Listing:
    tools: Mapping[str, Tool]
    read_at: float


class ToolClient:
    """ToolService with tokens of the caller's tenant and user.

    Without a channel there is no tool_fn: nothing is listed, nothing can be called. Lists are kept for a while and,
    where the function does not answer, given again though they are old.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel | None,
        issuer: TokenIssuer,
        *,
        with_documents: bool = False,
        scopes: Callable[[Caller], Awaitable[Sequence[str]]] | None = None,
    ) -> None:
        """with_documents: there is an embed_fn, and tools may read the caller's documents. scopes: what the token says
        that a caller's own calls carry; None: every tool.
        """
        self._scopes = scopes
        self._stub = None if channel is None else ToolServiceStub(channel)
        self._issuer = issuer
        self._with_documents = with_documents
        self._listings: dict[str, _Listing] = {}
        self._reading: dict[str, asyncio.Task[_Listing]] = {}
        self._answered_at = float("-inf")

    @property
    def is_configured(self) -> bool:
        """Whether there is a tool_fn at all."""
        return self._stub is not None

    @property
    def last_answer(self) -> float:
        """When tool_fn answered last, by the monotonic clock; minus infinity if never."""
        return self._answered_at

    async def tools(self, caller: Caller) -> Mapping[str, Tool]:
        """What the caller may use, by name. Waits only for a first list; an older one is read anew behind it.

        Raises FUNCTION_UNAVAILABLE and its like when there is none yet.
        """
        if self._stub is None:
            return {}
        listing = self._listings.get(caller.tenant)
        if listing is None:
            listing = await asyncio.shield(self._read(caller))
        elif time.monotonic() - listing.read_at > FRESH_S:
            self._read(caller)
        return _granted(listing.tools, caller)

    async def refresh(self, caller: Caller = PROBE) -> Mapping[str, Tool]:
        """Asks tool_fn now; callers of one tenant that come together share the question."""
        if self._stub is None:
            return {}
        return _granted((await asyncio.shield(self._read(caller))).tools, caller)

    async def invoke(
        self, caller: Caller, tool: Tool, arguments_json: str, *, key: str, request_id: str = ""
    ) -> AsyncGenerator[InvokeResponse, None]:
        """Calls a tool once and yields what it says; the last message holds the result.

        key: a tool with side effects runs once for each. Closing the generator cancels the call. Errors: what tool_fn
        says; FUNCTION_UNAVAILABLE when the call breaks off, also without a result.
        """
        if self._stub is None:
            raise DormouseError(ErrorReason.ERROR_REASON_TOOL_NOT_FOUND, "There are no tools here.")
        request = InvokeRequest(name=tool.name, arguments_json=arguments_json, idempotency_key=key, tool_call_id=key)
        timeout_s = tool.time_limit_ms / 1000 + CALL_MARGIN_S
        scopes = SCOPES if self._scopes is None else await self._scopes(caller)
        metadata = self._metadata(caller, request_id, scopes)
        if self._with_documents:
            metadata += ((DOCUMENTS_METADATA, self._documents_token(caller)),)
        call = self._stub.Invoke(request, timeout=timeout_s, metadata=metadata)
        has_result = False
        try:
            async for response in call:
                has_result = response.WhichOneof("event") == "result"
                yield response
        except grpc.aio.AioRpcError as error:
            raise _translate(error) from error
        finally:
            call.cancel()
        if not has_result:
            raise _broken_off()

    async def close(self) -> None:
        """Ends questions that are under way."""
        tasks = [*self._reading.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _read(self, caller: Caller) -> "asyncio.Task[_Listing]":
        task = self._reading.get(caller.tenant)
        if task is None:
            task = self._reading[caller.tenant] = asyncio.create_task(self._list(caller))
            task.add_done_callback(lambda task: self._done(caller.tenant, task))
        return task

    def _done(self, tenant: str, task: "asyncio.Task[_Listing]") -> None:
        self._reading.pop(tenant, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("tool_fn does not tell its tools", extra={"cause": repr(error)})

    async def _list(self, caller: Caller) -> _Listing:
        assert self._stub is not None
        try:
            answer = await self._stub.ListTools(
                ListToolsRequest(), timeout=LIST_TIMEOUT_S, metadata=self._metadata(caller, "")
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        self._answered_at = time.monotonic()
        listing = _Listing({tool.name: tool for tool in answer.tools}, self._answered_at)
        self._listings.pop(caller.tenant, None)
        while len(self._listings) >= CACHE_LIMIT:
            del self._listings[next(iter(self._listings))]
        self._listings[caller.tenant] = listing
        return listing

    def _documents_token(self, caller: Caller) -> str:
        return self._issuer.mint(
            audience=DOCUMENTS_AUDIENCE, tenant=caller.tenant, user=caller.user, scopes=DOCUMENTS_SCOPES
        )

    def _metadata(self, caller: Caller, request_id: str, scopes: Sequence[str] = SCOPES) -> tuple[tuple[str, str], ...]:
        token = self._issuer.mint(audience=FUNCTION, tenant=caller.tenant, user=caller.user, scopes=scopes)
        return call_metadata(token, request_id)


def _granted(tools: Mapping[str, Tool], caller: Caller) -> Mapping[str, Tool]:
    names = tool_names(caller.grants)
    return tools if names is None else {name: tool for name, tool in tools.items() if name in names}


def _translate(error: grpc.aio.AioRpcError) -> DormouseError:
    is_tool_fns_own_word = any(key == DETAILS_KEY for key, _ in error.trailing_metadata() or ())
    if error.code() in _BROKEN and not is_tool_fns_own_word:
        return _broken_off()
    return from_rpc_error(error)


def _broken_off() -> DormouseError:
    return DormouseError(ErrorReason.ERROR_REASON_FUNCTION_UNAVAILABLE, "The tool function broke off the call.")
