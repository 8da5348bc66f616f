"""Search and Reindex."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final

from dormouse.embed.v1 import embed_pb2
from dormouse.embed.v1 import embed_service_pb2 as pb

from embed_fn import errors
from embed_fn.calls.conversion import passage_proto
from embed_fn.means import Means
from embed_fn.scopes import reader, writer
from embed_fn.search.port import Found, Hit, Mode, Question
from embed_fn.uses import begin_counting

MOST_DOCUMENTS: Final = 1_000
MOST_METADATA: Final = 16
_MODES: Final[Mapping[int, Mode]] = {
    embed_pb2.SEARCH_MODE_UNSPECIFIED: Mode.AUTO,
    embed_pb2.SEARCH_MODE_AUTO: Mode.AUTO,
    embed_pb2.SEARCH_MODE_FAST: Mode.FAST,
    embed_pb2.SEARCH_MODE_BALANCED: Mode.BALANCED,
    embed_pb2.SEARCH_MODE_DEEP: Mode.DEEP,
}
_USED: Final[Mapping[Mode, embed_pb2.SearchMode.ValueType]] = {
    Mode.FAST: embed_pb2.SEARCH_MODE_FAST,
    Mode.BALANCED: embed_pb2.SEARCH_MODE_BALANCED,
    Mode.DEEP: embed_pb2.SEARCH_MODE_DEEP,
}


class SearchCalls:
    """Every call reaches only the documents of the caller's tenant."""

    def __init__(self, means: Means) -> None:
        self._search = means.search
        self._reindexing = means.reindexing
        self._upkeep = means.upkeep

    async def search(self, request: pb.SearchRequest) -> pb.SearchResponse:
        """Passages, best first. Errors: INVALID_ARGUMENT, DATABASE_UNAVAILABLE."""
        caller, uses = reader(), begin_counting()
        found = await self._search.search(caller.tenant, _question(request))
        self._upkeep.wake(caller.tenant)
        answer = _response(found)
        answer.uses.extend(uses.to_protos())
        return answer

    async def reindex(self, request: pb.ReindexRequest) -> AsyncGenerator[pb.ReindexResponse, None]:
        """How far it is, again and again. Errors: MODEL_UNAVAILABLE, CONFLICT where documents keep coming."""
        async with aclosing(self._reindexing.follow(writer().tenant)) as events:
            async for told in events:
                yield pb.ReindexResponse(done=told.done, total=told.total, model=told.model)


def _question(request: pb.SearchRequest) -> Question:
    mode = _MODES.get(request.mode)
    if mode is None:
        raise errors.invalid_argument("There is no such mode of search.")
    if len(request.document_ids) > MOST_DOCUMENTS:
        raise errors.invalid_argument(f"A search is limited to at most {MOST_DOCUMENTS:,} documents, or to none.")
    if len(request.metadata) > MOST_METADATA:
        raise errors.invalid_argument(f"A search wants at most {MOST_METADATA} entries of metadata.")
    return Question(request.query, mode, request.limit, dict(request.metadata), tuple(request.document_ids))


def _response(found: Found) -> pb.SearchResponse:
    return pb.SearchResponse(hits=[_hit(hit) for hit in found.hits], mode=_USED[found.mode], left_out=found.left_out)


def _hit(hit: Hit) -> embed_pb2.SearchHit:
    return embed_pb2.SearchHit(
        passage=passage_proto(hit.passage),
        score=hit.score,
        vector_score=hit.vector_score,
        text_score=hit.text_score,
    )
