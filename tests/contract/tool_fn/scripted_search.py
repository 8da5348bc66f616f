"""A peer that speaks the half of EmbedService that searches; it stands for embed_fn, not for the wire."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from dormouse.embed.v1 import embed_pb2
from dormouse.embed.v1.embed_pb2 import Document, Passage, SearchHit
from dormouse.embed.v1.embed_service_pb2 import (
    ListDocumentsRequest,
    ListDocumentsResponse,
    SearchRequest,
    SearchResponse,
)
from dormouse.embed.v1.embed_service_pb2_grpc import EmbedServiceServicer, add_EmbedServiceServicer_to_server
from dormouse_runtime.errors import DormouseError, abort
from dormouse_runtime.identity import Identity, TokenVerifier

READY = embed_pb2.DOCUMENT_STATE_READY


def passage(number: int, text: str, name: str = "handbook.md", **fields: Any) -> Passage:
    """The `number`th passage of a document."""
    start = number * 1000
    return Passage(
        chunk_id=f"chunk-{number}",
        document_id=f"file-{number:024}",
        document_name=name,
        text=text,
        start_offset=start,
        end_offset=start + len(text),
        **fields,
    )


class ScriptedSearch(EmbedServiceServicer):
    """`searches` are the questions so far with who asked; `hits` answers them, and `left_out`; `failures` come
    before that."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self.hits: list[Passage] = []
        self.left_out: list[str] = []
        self.documents: list[Document] = []
        self.failures: list[DormouseError] = []
        self.searches: list[tuple[Identity, SearchRequest]] = []
        self._verifier = verifier

    async def Search(  # noqa: N802 - gRPC's name
        self, request: SearchRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> SearchResponse:
        self.searches.append((await self._identity(context), request))
        if self.failures:
            await abort(context, self.failures.pop(0))
        hits = [SearchHit(passage=hit, score=1) for hit in self.hits]
        return SearchResponse(hits=hits, mode=request.mode, left_out=self.left_out)

    async def ListDocuments(  # noqa: N802 - gRPC's name
        self, request: ListDocumentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> ListDocumentsResponse:
        await self._identity(context)
        place = int(request.page_token or 0)
        return ListDocumentsResponse(
            documents=self.documents[place : place + 1],
            next_page_token=str(place + 1) if place + 1 < len(self.documents) else "",
        )

    async def _identity(self, context: grpc.aio.ServicerContext[Any, Any]) -> Identity:
        metadata = dict(context.invocation_metadata() or ())
        try:
            return self._verifier.verify(str(metadata["authorization"]).removeprefix("Bearer "))
        except DormouseError as error:
            await abort(context, error)
            raise


@asynccontextmanager
async def serving(documents: ScriptedSearch, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """Serves the documents; yields the address."""
    server = grpc.aio.server()
    add_EmbedServiceServicer_to_server(documents, server)
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
