"""A peer that speaks EmbedService and does what a test says; it stands for embed_fn, not for the wire."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse.embed.v1 import embed_service_pb2 as pb
from dormouse.embed.v1.embed_pb2 import Document, DocumentState, Passage, SearchHit, SearchMode
from dormouse.embed.v1.embed_service_pb2_grpc import EmbedServiceServicer, add_EmbedServiceServicer_to_server
from dormouse_runtime.errors import DormouseError, abort
from dormouse_runtime.identity import Identity, TokenVerifier

Context = grpc.aio.ServicerContext[Any, Any]
CHUNKS = 3


class ScriptedDocuments(EmbedServiceServicer):
    """A file's text says what becomes of it: `wait` waits for `go`, `refuse` and `broken` fail, `crash` breaks off.

    `documents` are those that are complete, by tenant and id; `received` the bytes of each; `ingests` the calls.
    """

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier
        self.forget()

    def forget(self) -> None:
        """As it was in the beginning."""
        self.documents: dict[tuple[str, str], Document] = {}
        self.received: dict[str, bytes] = {}
        self.ingests: list[tuple[Identity, pb.IngestHeader]] = []
        self.searches: list[pb.SearchRequest] = []
        self.waiting: dict[str, asyncio.Event] = {}
        self.at_work = 0
        self.most_at_work = 0
        self.cut_off = asyncio.Event()
        self.go = asyncio.Event()
        self.crashes = 0

    async def Ingest(  # noqa: N802 - gRPC's name
        self, request_iterator: AsyncIterator[pb.IngestRequest], context: Context
    ) -> AsyncIterator[pb.IngestResponse]:
        identity = await self._identity(context)
        header = (await anext(request_iterator)).header
        self.ingests.append((identity, header))
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            async for answer in self._ingest(identity, header, request_iterator, context):
                yield answer
        except asyncio.CancelledError:
            self.cut_off.set()
            raise
        finally:
            self.at_work -= 1

    async def _ingest(
        self,
        identity: Identity,
        header: pb.IngestHeader,
        requests: AsyncIterator[pb.IngestRequest],
        context: Context,
    ) -> AsyncIterator[pb.IngestResponse]:
        document = self.documents.get((identity.tenant, header.document_id))
        if document is not None and document.sha256 == header.sha256:
            yield pb.IngestResponse(document=document)
            return
        content = b"".join([request.data async for request in requests])
        self.received[header.document_id] = content
        yield _progress("RECEIVED")
        yield _progress("PARSED")
        if b"refuse" in content:
            message = "This is no text that can be read."
            await abort(context, DormouseError(ErrorReason.ERROR_REASON_INVALID_ARGUMENT, message))
        if b"crash" in content and self.crashes > 0:
            self.crashes -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        yield _progress("CHUNKED", CHUNKS, CHUNKS)
        yield _progress("EMBEDDED", 1, CHUNKS)
        if b"wait" in content:
            self.waiting.setdefault(header.document_id, asyncio.Event()).set()
            await self.go.wait()
        state = DocumentState.DOCUMENT_STATE_READY
        if b"broken" in content:
            state = DocumentState.DOCUMENT_STATE_FAILED
        else:
            yield _progress("EMBEDDED", CHUNKS, CHUNKS)
            yield _progress("STORED", CHUNKS, CHUNKS)
        document = Document(
            id=header.document_id,
            name=header.name,
            media_type="text/html",
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            state=state,
            page_count=2,
            chunk_count=CHUNKS,
            error="Its end is missing." if b"broken" in content else "",
            metadata=dict(header.metadata),
        )
        if state == DocumentState.DOCUMENT_STATE_READY:
            self.documents[identity.tenant, document.id] = document
        yield pb.IngestResponse(document=document)

    async def wait_for(self, document_id: str) -> None:
        """Until the file with the text `wait` is in the middle of its ingestion."""
        async with asyncio.timeout(10):
            await self.waiting.setdefault(document_id, asyncio.Event()).wait()

    async def DeleteDocument(  # noqa: N802 - gRPC's name
        self, request: pb.DeleteDocumentRequest, context: Context
    ) -> pb.DeleteDocumentResponse:
        identity = await self._identity(context)
        if self.documents.pop((identity.tenant, request.document_id), None) is None:
            await abort(context, DormouseError(ErrorReason.ERROR_REASON_DOCUMENT_NOT_FOUND, "There is none."))
        return pb.DeleteDocumentResponse()

    async def GetPassage(  # noqa: N802 - gRPC's name
        self, request: pb.GetPassageRequest, context: Context
    ) -> pb.GetPassageResponse:
        identity = await self._identity(context)
        for tenant, document_id in self.documents:
            if tenant == identity.tenant and request.chunk_id == f"{document_id}.1":
                return pb.GetPassageResponse(passage=self._passage(tenant, document_id))
        await abort(context, DormouseError(ErrorReason.ERROR_REASON_DOCUMENT_NOT_FOUND, "There is none."))
        raise AssertionError

    async def Search(self, request: pb.SearchRequest, context: Context) -> pb.SearchResponse:  # noqa: N802
        identity = await self._identity(context)
        self.searches.append(request)
        if request.query == "away":
            await abort(context, DormouseError(ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE, "The model is away."))
        hits = [
            SearchHit(passage=self._passage(tenant, name), score=0.5, vector_score=0.25)
            for tenant, name in self.documents
            if tenant == identity.tenant and (not request.document_ids or name in request.document_ids)
        ]
        mode = request.mode if request.mode != SearchMode.SEARCH_MODE_AUTO else SearchMode.SEARCH_MODE_BALANCED
        return pb.SearchResponse(hits=hits, mode=mode)

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:  # noqa: N802
        raise NotImplementedError

    async def GetDocument(self, request: pb.GetDocumentRequest, context: Context) -> pb.GetDocumentResponse:  # noqa: N802
        raise NotImplementedError

    async def ListDocuments(  # noqa: N802
        self, request: pb.ListDocumentsRequest, context: Context
    ) -> pb.ListDocumentsResponse:
        raise NotImplementedError

    def Reindex(self, request: pb.ReindexRequest, context: Context) -> AsyncIterator[pb.ReindexResponse]:  # noqa: N802
        raise NotImplementedError

    def _passage(self, tenant: str, document_id: str) -> Passage:
        return Passage(
            chunk_id=f"{document_id}.1",
            document_id=document_id,
            document_name=self.documents[tenant, document_id].name,
            text="They sleep.",
            headings=["Dormice"],
            first_page=2,
            last_page=2,
            start_offset=11,
            end_offset=22,
        )

    async def _identity(self, context: Context) -> Identity:
        metadata = dict(context.invocation_metadata() or ())
        try:
            identity = self._verifier.verify(str(metadata["authorization"]).removeprefix("Bearer "))
        except DormouseError as error:
            await abort(context, error)
            raise
        assert "documents" in identity.scopes
        return identity


def _progress(phase: str, done: int = 0, total: int = 0) -> pb.IngestResponse:
    number = pb.IngestPhase.Value(f"INGEST_PHASE_{phase}")
    return pb.IngestResponse(progress=pb.IngestProgress(phase=number, done=done, total=total))


@asynccontextmanager
async def serving_documents(documents: ScriptedDocuments, address: str = "127.0.0.1:0") -> AsyncIterator[str]:
    """Serves the documents; yields the address."""
    server = grpc.aio.server()
    add_EmbedServiceServicer_to_server(documents, server)
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
