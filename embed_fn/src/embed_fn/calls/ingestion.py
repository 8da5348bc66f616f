"""Ingest."""

from collections.abc import AsyncIterator

from dormouse.embed.v1 import embed_service_pb2 as pb

from embed_fn import errors
from embed_fn.means import Means


class IngestionCalls:
    """Every call reaches only the documents of the caller's tenant."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def ingest(self, requests: AsyncIterator[pb.IngestRequest]) -> AsyncIterator[pb.IngestResponse]:
        for refused in (errors.not_available("Ingest"),):
            raise refused
        yield pb.IngestResponse()
