"""`POST /v1/search`: passages of the tenant's files that answer a question."""

import time
from typing import Annotated, Any, Final

import grpc
import orjson
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse.embed.v1.embed_pb2 import SearchHit, SearchMode
from dormouse.embed.v1.embed_service_pb2 import SearchRequest, SearchResponse
from fastapi import APIRouter, Request, Response

from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Scope
from edge.embed_client import EmbedClient, translate
from edge.errors import ApiError, invalid_argument
from edge.files.encoding import place_to_json
from edge.ids import is_file_id, new_job_id
from edge.lifecycle import ClientGoneError, ClientWatch, ServerClosingError
from edge.metrics import SEARCHES
from edge.openapi import errors, json_answer, json_body
from edge.request_body import read_json
from edge.request_context import context_of
from edge.services import Services, services_of
from edge.spending.estimate import of_search
from edge.spending.model import Work

from .schemas import EXAMPLE, SearchAnswer, SearchQuery

router = APIRouter(tags=["Files"])

SEARCH_TIMEOUT_S: Final = 20.0
"""More than the longest mode takes."""

_MODES: Final = {
    "auto": SearchMode.SEARCH_MODE_AUTO,
    "fast": SearchMode.SEARCH_MODE_FAST,
    "balanced": SearchMode.SEARCH_MODE_BALANCED,
    "deep": SearchMode.SEARCH_MODE_DEEP,
}
_NAMES: Final = {number: name for name, number in _MODES.items()}


@router.post(
    "/v1/search",
    operation_id="search",
    summary="Search the files",
    description="By words and by meaning at once. Each hit says where it stands.",
    responses={200: json_answer(SearchAnswer, "What was found.", EXAMPLE), **errors(400, 413, 415, 504)},
    openapi_extra=json_body(SearchQuery),
    response_class=Response,
)
async def search(request: Request, caller: Annotated[Caller, Requires(Scope.SEARCH)]) -> Response:
    wanted = await read_json(request, SearchQuery)
    if not wanted.query.strip():
        raise invalid_argument("`query` holds nothing to look for.", "query")
    services = services_of(request)
    started = time.perf_counter()
    may_ask_model = wanted.mode in ("auto", "deep")
    job = await services.spending.begin(
        caller, new_job_id(), Work.SEARCH, of_search(wanted.query, may_ask_model=may_ask_model)
    )
    try:
        async with job, ClientWatch(request.receive, services.lifecycle):
            answer = await _search(services, caller, wanted, context_of(request.scope).request_id)
            for use in answer.uses:
                job.use(use.prompt_tokens, use.completion_tokens, use.model)
    except ClientGoneError:
        return Response(status_code=499)
    except ServerClosingError:
        raise ApiError.of(ErrorReason.ERROR_REASON_SHUTTING_DOWN, "The server is shutting down; try again.") from None
    SEARCHES.labels(_NAMES.get(answer.mode, "fast")).inc()
    body = {
        "object": "search.results",
        "mode": _NAMES.get(answer.mode, "fast"),
        "took_ms": round((time.perf_counter() - started) * 1000, 1),
        "left_out": list(answer.left_out),
        "data": [_hit(hit) for hit in answer.hits],
    }
    return Response(orjson.dumps(body), media_type="application/json")


async def _search(services: Services, caller: Caller, wanted: SearchQuery, request_id: str) -> SearchResponse:
    file_ids = [name for name in dict.fromkeys(wanted.file_ids) if is_file_id(name)]
    if wanted.file_ids and not file_ids:
        return SearchResponse(mode=_MODES["fast" if wanted.mode == "auto" else wanted.mode])
    files = services.files
    documents = await files.table.documents_of(caller.tenant, file_ids) if files is not None and file_ids else {}
    answer = await _ask(
        services.embed,
        caller,
        SearchRequest(
            query=wanted.query,
            mode=_MODES[wanted.mode],
            limit=wanted.limit or 0,
            metadata=wanted.metadata,
            document_ids=[documents.get(name, name) for name in file_ids],
        ),
        request_id,
    )
    found = {hit.passage.document_id for hit in answer.hits}
    if files is not None and found and (gone := await files.table.deleted_among(caller.tenant, found)):
        kept = [hit for hit in answer.hits if hit.passage.document_id not in gone]
        return SearchResponse(hits=kept, mode=answer.mode, left_out=answer.left_out, uses=answer.uses)
    return answer


async def _ask(embed: EmbedClient, caller: Caller, question: SearchRequest, request_id: str) -> SearchResponse:
    try:
        with embed.demand.during():
            answer: SearchResponse = await embed.stub.Search(
                question, timeout=SEARCH_TIMEOUT_S, metadata=embed.metadata(caller, request_id)
            )
    except grpc.aio.AioRpcError as error:
        raise translate(error) from error
    return answer


def _hit(hit: SearchHit) -> dict[str, Any]:
    return {
        "chunk_id": hit.passage.chunk_id,
        "file_id": hit.passage.document_id,
        "filename": hit.passage.document_name,
        "score": hit.score,
        "vector_score": hit.vector_score if hit.HasField("vector_score") else None,
        "text_score": hit.text_score if hit.HasField("text_score") else None,
        **place_to_json(hit.passage),
    }
