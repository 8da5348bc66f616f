"""The MCP server itself: lists and calls tool_fn's tools on behalf of the caller. Loads the SDK: import it late."""

import logging
import secrets
from contextlib import aclosing
from importlib.metadata import version
from typing import Any, Final

import orjson
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse.tool.v1.tool_pb2 import InvokeProgress, InvokeResult, Tool
from dormouse_runtime.errors import DormouseError
from mcp.server import Server, ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp.types import Tool as McpTool
from starlette.requests import Request

from edge.auth.caller import Caller
from edge.native.tool_routes import input_schema
from edge.request_context import context_of
from edge.tool_client import ToolClient

from .caller import caller_of

_Context = ServerRequestContext[Any, Request]

INSTRUCTIONS: Final = "Tools of a Dormouse platform. Those that a person has to approve are not offered here."


def build(tools: ToolClient, max_body_bytes: int) -> StreamableHTTPSessionManager:
    """The SDK's handler of requests, stateless."""
    logging.getLogger("mcp").setLevel(logging.WARNING)  # it says of each request that it begins and ends
    service = _Tools(tools)
    server: Server[Any] = Server(
        "dormouse",
        version=version("dormouse-edge"),
        instructions=INSTRUCTIONS,
        on_list_tools=service.list,
        on_call_tool=service.call,
    )
    return StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=max_body_bytes)


class _Tools:
    def __init__(self, client: ToolClient) -> None:
        self._client = client

    async def list(self, context: _Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        """All at once: there are no pages."""
        offered = await self._offered(_caller(context))
        return ListToolsResult(tools=[_described(tool) for _, tool in sorted(offered.items())])

    async def call(self, context: _Context, params: CallToolRequestParams) -> CallToolResult:
        """What a tool says is a result, also where it says that something went wrong."""
        caller = _caller(context)
        tool = (await self._offered(caller)).get(params.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name[:100]}")
        try:
            return _result(await self._invoke(context, caller, tool, params.arguments or {}))
        except DormouseError as error:
            if error.reason == ErrorReason.ERROR_REASON_TOOL_NOT_FOUND:
                raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name[:100]}") from error
            return CallToolResult(content=[TextContent(text=error.message)], is_error=True)

    async def _invoke(self, context: _Context, caller: Caller, tool: Tool, arguments: dict[str, Any]) -> InvokeResult:
        request_id = context_of(_request(context).scope).request_id
        progress = _Progress(context)
        # A request has no name of its own that lasts: each is another call.
        key = f"mcp:{secrets.token_hex(16)}"
        responses = self._client.invoke(caller, tool, orjson.dumps(arguments).decode(), key=key, request_id=request_id)
        async with aclosing(responses):
            async for response in responses:
                match response.WhichOneof("event"):
                    case "progress":
                        await progress.report(response.progress)
                    case "result":
                        return response.result
        raise AssertionError("a call without a result raises")

    async def _offered(self, caller: Caller) -> dict[str, Tool]:
        try:
            tools = await self._client.tools(caller)
        except DormouseError as error:
            raise MCPError(INTERNAL_ERROR, error.message) from error
        return {name: tool for name, tool in tools.items() if not tool.needs_approval}


class _Progress:
    """Reports how far a call is; each report says more than the one before it, as the protocol demands."""

    def __init__(self, context: _Context) -> None:
        self._session = context.session
        self._value = 0.0

    async def report(self, progress: InvokeProgress) -> None:
        """Passes it on, if the client has asked for reports."""
        is_fraction = progress.HasField("fraction")
        value = progress.fraction if is_fraction else self._value + 1
        if value > self._value:
            self._value = value
            total = 1.0 if is_fraction else None
            await self._session.report_progress(value, total, progress.message or None)


def _described(tool: Tool) -> McpTool:
    return McpTool(
        name=tool.name,
        description=tool.description,
        input_schema=input_schema(tool),
        annotations=ToolAnnotations(read_only_hint=not tool.has_side_effects),
    )


def _result(result: InvokeResult) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=result.content)], is_error=result.is_error)


def _request(context: _Context) -> Request:
    assert context.request is not None, "there is no other transport than HTTP"
    return context.request


def _caller(context: _Context) -> Caller:
    return caller_of(_request(context).scope)
