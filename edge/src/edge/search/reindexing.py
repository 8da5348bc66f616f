"""`POST /v1/search/reindex`: all of a tenant's passages embedded anew with the model that the platform has now."""

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any, Final, Literal

import grpc
import orjson
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse.embed.v1.embed_service_pb2 import ReindexRequest, ReindexResponse
from dormouse_runtime.errors import DormouseError
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Scope
from edge.embed_client import EmbedClient, translate
from edge.errors import ApiError
from edge.openapi import errors, event_stream, json_text, ref
from edge.request_context import context_of
from edge.services import services_of
from edge.sse import EventStream

router = APIRouter(tags=["Files"])

CALL_S: Final = 590.0
"""Below the longest request that Knative lets through. What is embedded stays: the next call goes on."""

_PASSING: Final = frozenset({ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, ErrorReason.ERROR_REASON_SHUTTING_DOWN})


class ReindexStep(BaseModel):
    """How far it is; the last one says that searches use the model now."""

    type: Literal["reindex.progress", "reindex.finished"]
    model: str = Field(description="The model that the passages are embedded with.")
    done: int = Field(description="Passages.")
    total: int


MODELS: Final = (ReindexStep,)
_EXAMPLE: Final = (
    'event: reindex.progress\ndata: {"type":"reindex.progress","model":"nomic-embed-text","done":256,"total":512}\n\n'
    'event: reindex.finished\ndata: {"type":"reindex.finished","model":"nomic-embed-text","done":512,"total":512}\n\n'
)
_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "data": json_text(ref(ReindexStep))},
    "required": ["event", "data"],
}


@router.post(
    "/v1/search/reindex",
    operation_id="reindex",
    summary="Embed all passages anew",
    description=(
        "With the platform's present embedding model, beside the old vectors; searches use the new ones when all are "
        "there, so nothing is missing meanwhile. The answer is the progress, to its end. Whoever leaves stops it; what "
        "is embedded stays, and the next request goes on. Wants the scope `library`, which admins have."
    ),
    responses={200: event_stream("How far it is.", _SCHEMA, _EXAMPLE), **errors(409)},
    response_class=Response,
)
async def reindex(request: Request, caller: Annotated[Caller, Requires(Scope.LIBRARY)]) -> Response:
    services = services_of(request)
    _ = services.embed.stub  # without an embed_fn there is nothing to follow
    return EventStream(
        _progress(services.embed, caller, context_of(request.scope).request_id),
        _Encoder(),
        surface="reindex",
        lifecycle=services.lifecycle,
        headers={},
    )


async def _progress(
    embed: EmbedClient, caller: Caller, request_id: str
) -> AsyncGenerator[list[tuple[str, ReindexResponse]], None]:
    latest = ReindexResponse()
    while True:
        call = embed.stub.Reindex(ReindexRequest(), timeout=CALL_S, metadata=embed.metadata(caller, request_id))
        begun_at = latest.done
        try:
            with embed.demand.during():
                async for latest in call:
                    yield [("reindex.progress", latest)]
        except grpc.aio.AioRpcError as error:
            translated: DormouseError = translate(error)
            if translated.reason not in _PASSING or latest.done == begun_at:
                raise translated from error
            continue
        finally:
            call.cancel()
        yield [("reindex.finished", latest)]
        return


class _Encoder:
    has_content = False

    def __init__(self) -> None:
        self.must_open = False  # a failure before the first step chooses the status

    def encode(self, events: Sequence[tuple[str, ReindexResponse]]) -> bytes:
        self.must_open = True
        return b"".join(
            _event(name, {"model": told.model, "done": told.done, "total": told.total}) for name, told in events
        )

    def broken(self, error: ApiError) -> bytes:
        return _event("error", orjson.loads(error.body()))


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps({"type": name, **data}))
