"""ToolService: protos in and out, nothing more."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import grpc.aio
from dormouse.tool.v1 import tool_service_pb2, tool_service_pb2_grpc
from dormouse_runtime.identity import current_identity
from dormouse_runtime.logs import bind

from tool_fn.convert import invoke_request, invoke_response, tool_description
from tool_fn.invoker import Invoker

Context = grpc.aio.ServicerContext[Any, Any]

_DOCUMENTS_TOKEN: Final = "x-dormouse-documents"  # noqa: S105 - the name of metadata


class ToolServicer(tool_service_pb2_grpc.ToolServiceServicer):
    """Errors are raised as DormouseError and mapped by the runtime's interceptor."""

    def __init__(self, invoker: Invoker) -> None:
        self._invoker = invoker

    async def ListTools(  # noqa: N802 - the name in the proto
        self, request: tool_service_pb2.ListToolsRequest, context: Context
    ) -> tool_service_pb2.ListToolsResponse:
        """Lists what the caller's scopes allow."""
        tools = await self._invoker.tools(current_identity())
        return tool_service_pb2.ListToolsResponse(tools=map(tool_description, tools))

    async def Invoke(  # noqa: N802
        self, request: tool_service_pb2.InvokeRequest, context: Context
    ) -> AsyncIterator[tool_service_pb2.InvokeResponse]:
        """Streams what the call tells; the last message is its result."""
        bind(tool=request.name, tool_call_id=request.tool_call_id)
        invocation = invoke_request(request, _documents_token(context))
        async with aclosing(self._invoker.invoke(invocation, current_identity())) as told:
            async for one in told:
                yield invoke_response(one)


def _documents_token(context: Context) -> str:
    """The service token for embed_fn; empty where the caller gives none."""
    return next((str(value) for name, value in context.invocation_metadata() or () if name == _DOCUMENTS_TOKEN), "")
