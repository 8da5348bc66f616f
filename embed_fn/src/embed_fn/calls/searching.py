"""Search and Reindex."""

from collections.abc import AsyncGenerator

from dormouse.embed.v1 import embed_service_pb2 as pb

from embed_fn import errors
from embed_fn.means import Means


class SearchCalls:
    """Every call reaches only the documents of the caller's tenant."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def search(self, request: pb.SearchRequest) -> pb.SearchResponse:
        raise errors.not_available("Search")

    async def reindex(self, request: pb.ReindexRequest) -> AsyncGenerator[pb.ReindexResponse, None]:
        for refused in (errors.not_available("Reindex"),):
            raise refused
        yield pb.ReindexResponse()
