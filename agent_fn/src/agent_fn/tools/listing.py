"""What ToolService offers to each kind of caller, remembered for a short time so that a run need not ask."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Sequence
from typing import Any, Final

import grpc.aio
import orjson
from dormouse.common.v1 import error_pb2
from dormouse.tool.v1 import tool_pb2, tool_service_pb2, tool_service_pb2_grpc
from dormouse_runtime.client import call_metadata
from dormouse_runtime.errors import DormouseError, from_rpc_error
from dormouse_runtime.remembered import Remembered

from agent_fn.generation import ToolDefinition
from agent_fn.tools.port import DEFAULT_TIME_LIMIT_S, ToolDescription

_logger = logging.getLogger(__name__)
_FRESH_S: Final = 30.0
_KEPT_S: Final = 300.0
_KINDS_KEPT: Final = 256
_TIMEOUT_S: Final = 10.0
# A function that has died is back within seconds. Where it was away already, nobody waits for it again.
_PATIENCE_S: Final = 8.0
_RETRY_S: Final = 0.2
_SILENCE_S: Final = 5.0
_PASSING: Final = frozenset(
    (
        error_pb2.ERROR_REASON_FUNCTION_UNAVAILABLE,
        error_pb2.ERROR_REASON_SHUTTING_DOWN,
        error_pb2.ERROR_REASON_OVERLOADED,
    )
)


class Listings:
    """The lists of all callers: those with the same tenant and the same scopes share one."""

    def __init__(self, stub: tool_service_pb2_grpc.ToolServiceAsyncStub, retry_s: float) -> None:
        self._stub = stub
        self._retry_s = min(retry_s, _PATIENCE_S)
        self._listings: dict[tuple[str, str], Listing] = {}

    async def get(self, tenant: str, token: str) -> Sequence[ToolDescription]:
        """The tools that the token allows. Errors: FUNCTION_UNAVAILABLE and whatever else ListTools says."""
        key = (tenant, _claimed_scope(token))
        listing = self._listings.pop(key, None) or Listing(self._stub, self._retry_s)
        self._listings[key] = listing  # the one used last is dropped last
        if len(self._listings) > _KINDS_KEPT:
            await self._listings.pop(next(iter(self._listings))).aclose()
        return await listing.get(token)

    async def aclose(self) -> None:
        """Ends what is being read."""
        for listing in self._listings.values():
            await listing.aclose()


class Listing:
    """The tools of one kind of caller."""

    def __init__(self, stub: tool_service_pb2_grpc.ToolServiceAsyncStub, retry_s: float) -> None:
        self._stub = stub
        self._retry_s = min(retry_s, _PATIENCE_S)
        self._token = ""
        self._tools = Remembered(self._read, fresh_s=_FRESH_S, kept_s=_KEPT_S)
        self._loop = asyncio.get_running_loop()
        self._failure: tuple[float, DormouseError] | None = None

    async def get(self, token: str) -> Sequence[ToolDescription]:
        """See Listings.get."""
        self._token = token  # the newest is good for the longest
        if self._failure is not None and self._loop.time() - self._failure[0] < _SILENCE_S:
            raise self._failure[1]
        return await self._tools.get()

    async def aclose(self) -> None:
        """See Listings.aclose."""
        await self._tools.aclose()

    async def _read(self) -> Sequence[ToolDescription]:
        give_up = self._loop.time() + (self._retry_s if self._failure is None else 0)
        while True:
            try:
                response = await self._stub.ListTools(
                    tool_service_pb2.ListToolsRequest(), timeout=_TIMEOUT_S, metadata=call_metadata(self._token)
                )
            except grpc.aio.AioRpcError as failed:
                error = from_rpc_error(failed)
                if error.reason in _PASSING and self._loop.time() + _RETRY_S < give_up:
                    await asyncio.sleep(_RETRY_S)
                    continue
                if self._failure is None:
                    _logger.warning("the tools cannot be listed", extra={"reason": error.reason_name})
                self._failure = self._loop.time(), error
                raise error from failed
            self._failure = None
            return sorted(filter(None, map(_description, response.tools)), key=lambda tool: tool.name)


def _description(tool: tool_pb2.Tool) -> ToolDescription | None:
    """None for a tool that no model could be told of."""
    if tool.input_json_schema and not isinstance(_json(tool.input_json_schema), dict):
        _logger.warning("a tool has no usable schema", extra={"tool": tool.name})
        return None
    definition = ToolDefinition(tool.name, tool.description, tool.input_json_schema)
    limit_s = tool.time_limit_ms / 1000 if tool.time_limit_ms else DEFAULT_TIME_LIMIT_S
    return ToolDescription(
        definition,
        tool.has_side_effects,
        tool.needs_approval,
        limit_s,
        tool.quotes_strangers,
        tool.reaches_out,
        tool.approval_waived,
    )


def _claimed_scope(token: str) -> str:
    """The scopes in a token that is not verified here; the token itself where it is none.

    They only choose a list. Whose lists there are to choose from is known from the caller's own, verified tenant.
    """
    parts = token.split(".")
    try:
        claims = _json(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, binascii.Error, ValueError):
        return token
    return str(claims.get("scope", "")) if isinstance(claims, dict) else token


def _json(text: str | bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
