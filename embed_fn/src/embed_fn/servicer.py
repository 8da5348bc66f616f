"""EmbedService: each RPC handed to the part that does it."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc.aio
from dormouse.embed.v1 import embed_service_pb2 as pb
from dormouse.embed.v1 import embed_service_pb2_grpc

from embed_fn.calls.documents import DocumentCalls
from embed_fn.calls.embedding import EmbeddingCalls
from embed_fn.calls.ingestion import IngestionCalls
from embed_fn.calls.searching import SearchCalls
from embed_fn.means import Means

Context = grpc.aio.ServicerContext[Any, Any]


class EmbedServicer(embed_service_pb2_grpc.EmbedServiceServicer):
    """Errors are raised as DormouseError and mapped by the runtime's interceptor."""

    def __init__(self, means: Means) -> None:
        self._embedding = EmbeddingCalls(means)
        self._documents = DocumentCalls(means)
        self._searching = SearchCalls(means)
        self._ingestion = IngestionCalls(means)

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:  # noqa: N802 - the proto's
        """Embeds texts."""
        return await self._embedding.embed(request)

    async def Ingest(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.IngestRequest], context: Context
    ) -> AsyncIterator[pb.IngestResponse]:
        """Stores a document and tells how far it is."""
        async with aclosing(self._ingestion.ingest(request_iterator)) as events:
            async for told in events:
                yield told

    async def Search(self, request: pb.SearchRequest, context: Context) -> pb.SearchResponse:  # noqa: N802
        """Finds passages."""
        return await self._searching.search(request)

    async def ListDocuments(  # noqa: N802
        self, request: pb.ListDocumentsRequest, context: Context
    ) -> pb.ListDocumentsResponse:
        """Lists documents, newest first."""
        return await self._documents.list(request)

    async def GetDocument(  # noqa: N802
        self, request: pb.GetDocumentRequest, context: Context
    ) -> pb.GetDocumentResponse:
        """Reads a document."""
        return await self._documents.get(request)

    async def GetPassage(self, request: pb.GetPassageRequest, context: Context) -> pb.GetPassageResponse:  # noqa: N802
        """Reads a passage."""
        return await self._documents.passage(request)

    async def Reindex(  # noqa: N802
        self, request: pb.ReindexRequest, context: Context
    ) -> AsyncIterator[pb.ReindexResponse]:
        """Embeds a tenant's passages anew and tells how far it is."""
        async with aclosing(self._searching.reindex(request)) as events:
            async for told in events:
                yield told

    async def DeleteDocument(  # noqa: N802
        self, request: pb.DeleteDocumentRequest, context: Context
    ) -> pb.DeleteDocumentResponse:
        """Deletes a document."""
        return await self._documents.delete(request)
