"""Speaks to an MCP server through the official SDK: a session for each call, so that none outlives its server."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, CallToolResult

from tool_fn.mcp_servers.content import text_of
from tool_fn.mcp_servers.remote_tool import RemoteTool
from tool_fn.tool import Call, OutcomeUnknownError, ToolError

_CONNECT_S: Final = 5.0
_SILENCE_S: Final = 60.0
_MOST_TOOLS: Final = 200
_MOST_BYTES: Final = 16 * 1024 * 1024

# What the SDK lets through of a server that is away, refuses, or speaks something else.
_BROKEN: Final = (httpx2.HTTPError, MCPError, OSError, anyio.ClosedResourceError, anyio.BrokenResourceError, ValueError)
# The server has not run the tool: the call does not make sense to it.
_REFUSALS: Final = (INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND)


class McpConnection:
    """One server. token: empty: none."""

    def __init__(self, name: str, url: str, token: str) -> None:
        self._name = name
        self._url = url
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    async def list_tools(self) -> Sequence[RemoteTool]:
        """All of its tools, at most 200. Raises ToolError."""
        found: list[RemoteTool] = []
        try:
            async with self._session() as client:
                cursor: str | None = None
                while True:
                    page = await client.list_tools(cursor=cursor)
                    found += [
                        RemoteTool(
                            tool.name,
                            tool.description or "",
                            tool.input_schema,
                            reads_only=bool(tool.annotations and tool.annotations.read_only_hint),
                        )
                        for tool in page.tools
                    ]
                    cursor = page.next_cursor
                    if not cursor or len(found) >= _MOST_TOOLS:
                        return found[:_MOST_TOOLS]
        except* _BROKEN as errors:
            raise self._away(errors) from errors

    async def call_tool(self, name: str, arguments: dict[str, Any], call: Call) -> str:
        """What the tool answers, as text. Raises ToolError where it says that it failed, or was never asked, and
        OutcomeUnknownError for what breaks off once it was asked.
        """

        async def tell(progress: float, total: float | None, message: str | None) -> None:
            call.progress(message or "at work", progress / total if total else None)

        asked = False
        refused: MCPError | None = None
        result: CallToolResult | None = None
        try:
            async with self._session() as client:
                asked = True
                try:
                    result = await client.call_tool(
                        name, arguments, read_timeout_seconds=call.remaining_s(), progress_callback=tell
                    )
                except MCPError as error:
                    if error.code not in _REFUSALS:
                        raise
                    refused = error
        except* _BROKEN as errors:
            # With an answer in hand a session that ends badly is no matter.
            if not asked:
                raise self._away(errors) from errors
            if result is None and refused is None:
                raise OutcomeUnknownError(
                    f"The {self._name} broke off ({_leaf(errors)}): the call may or may not have been carried out."
                ) from errors
        if result is None:
            raise ToolError(f"The {self._name} refuses the call: {refused}") from refused
        text = text_of(result)
        if result.is_error:
            raise ToolError(text or f"The {self._name} says that the tool failed.")
        return text

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Client]:
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(
                httpx2.AsyncClient(
                    headers=self._headers,
                    timeout=httpx2.Timeout(_CONNECT_S, read=_SILENCE_S),
                    transport=_Bounded(httpx2.AsyncHTTPTransport()),
                    trust_env=False,
                )
            )
            transport = streamable_http_client(self._url, http_client=http)
            yield await stack.enter_async_context(Client(transport, cache=None))

    def _away(self, errors: BaseExceptionGroup[Exception]) -> ToolError:
        return ToolError(f"The {self._name} cannot be reached now ({_leaf(errors)}).")


def _leaf(error: BaseException) -> str:
    """The name of what went wrong inside of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__


class _Bounded(httpx2.AsyncBaseTransport):
    """Reads no more of an answer than a result could need, whatever a server sends."""

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._transport.handle_async_request(request)
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        response.stream = _BoundedStream(stream)
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = _MOST_BYTES
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise httpx2.ReadError(f"the answer is longer than {_MOST_BYTES} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
