"""A peer that speaks ToolService and does what a test says; it stands for tool_fn, not for the wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse.tool.v1.tool_pb2 import InvokeProgress, InvokeResult, Tool
from dormouse.tool.v1.tool_service_pb2 import InvokeRequest, InvokeResponse, ListToolsRequest, ListToolsResponse
from dormouse.tool.v1.tool_service_pb2_grpc import ToolServiceServicer, add_ToolServiceServicer_to_server
from dormouse_runtime.errors import DormouseError, abort
from dormouse_runtime.identity import Identity, TokenVerifier

SCHEMA = '{"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}'

TOOLS = (
    Tool(name="echo", description="Says it again.", input_json_schema=SCHEMA, time_limit_ms=5000),
    Tool(name="fail", description="Fails.", input_json_schema=SCHEMA, time_limit_ms=5000),
    Tool(name="hang", description="Never answers.", input_json_schema=SCHEMA, time_limit_ms=60_000),
    Tool(name="leave", description="Breaks off without a result.", input_json_schema=SCHEMA, time_limit_ms=5000),
    Tool(name="refuse", description="Refuses its arguments.", input_json_schema=SCHEMA, time_limit_ms=5000),
    Tool(
        name="send",
        description="Sends it off.",
        input_json_schema=SCHEMA,
        time_limit_ms=5000,
        has_side_effects=True,
        needs_approval=True,
    ),
)


class ScriptedTools(ToolServiceServicer):
    """`calls` are the Invokes so far with who made them; `hanging` and `cut_off` tell of the tool `hang`."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self.tools: list[Tool] = list(TOOLS)
        self.lists = 0
        self.calls: list[tuple[Identity, InvokeRequest]] = []
        self.hanging = asyncio.Event()
        self.cut_off = asyncio.Event()
        self._verifier = verifier

    async def ListTools(  # noqa: N802 - gRPC's name
        self, request: ListToolsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ListToolsResponse:
        await self._identity(context)
        self.lists += 1
        return ListToolsResponse(tools=self.tools)

    async def Invoke(  # noqa: N802 - gRPC's name
        self, request: InvokeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[InvokeResponse]:
        identity = await self._identity(context)
        self.calls.append((identity, request))
        if request.name == "hang":
            yield InvokeResponse(progress=InvokeProgress(message="Waiting."))
            try:
                self.hanging.set()
                await asyncio.sleep(60)
            finally:
                self.cut_off.set()
        if request.name == "leave":
            return
        if request.name == "refuse":
            message = "`text` must be a word."
            await abort(context, DormouseError(ErrorReason.ERROR_REASON_INVALID_ARGUMENT, message))
        yield InvokeResponse(progress=InvokeProgress(message="Half way.", fraction=0.5))
        yield InvokeResponse(output_chunk="…")
        content = f"{request.arguments_json} for {identity.tenant}"
        yield InvokeResponse(result=InvokeResult(content=content, is_error=request.name == "fail"))

    async def _identity(self, context: grpc.aio.ServicerContext[Any, Any]) -> Identity:
        metadata = dict(context.invocation_metadata() or ())
        try:
            return self._verifier.verify(str(metadata["authorization"]).removeprefix("Bearer "))
        except DormouseError as error:
            await abort(context, error)
            raise


@asynccontextmanager
async def serving(tools: ScriptedTools, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """Serves the tools; yields the address."""
    server = grpc.aio.server()
    add_ToolServiceServicer_to_server(tools, server)
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
