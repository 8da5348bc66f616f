"""`POST /mcp`: light, so that the edge starts without the SDK."""

from typing import Annotated, Final

from dormouse.common.v1.error_pb2 import ErrorReason
from fastapi import APIRouter, Request, Response
from starlette import types

from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Scope
from edge.errors import ApiError
from edge.origins import ANY
from edge.services import services_of

from .caller import put_caller
from .endpoint import McpEndpoint

router = APIRouter()

PATH: Final = "/mcp"


class _McpResponse(Response):
    """Leaves the whole exchange to the SDK."""

    def __init__(self, endpoint: McpEndpoint, caller: Caller) -> None:
        # Of Response it has only what FastAPI touches before __call__.
        self.background = None
        self.raw_headers = []
        self._endpoint = endpoint
        self._caller = caller

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        put_caller(scope, self._caller)
        await self._endpoint.handle(scope, receive, send)


# Not in the OpenAPI document: bodies and errors are MCP's own. GET and DELETE are for sessions, and there are none.
@router.post(PATH, include_in_schema=False, response_class=Response)
async def serve_mcp(request: Request, caller: Annotated[Caller, Requires(Scope.TOOLS)]) -> Response:
    endpoint = services_of(request).mcp
    origin = request.headers.get("origin")
    if origin is not None and not endpoint.origins & {origin, ANY}:
        raise ApiError.of(
            ErrorReason.ERROR_REASON_PERMISSION_DENIED,
            "Web pages of this origin may not use MCP here; DORMOUSE_MCP_ORIGINS names those that may.",
        )
    return _McpResponse(endpoint, caller)
