"""A tenant's documents over the wire: put in, looked at, searched, taken out."""

from __future__ import annotations

import asyncio
import builtins
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc.aio
from dormouse.embed.v1 import embed_pb2
from dormouse.embed.v1 import embed_service_pb2 as pb
from dormouse_runtime.errors import from_rpc_error

from tests.contract.embed_fn.caller import Caller, calling
from tests.stack import EmbedFn, Stack, Tenant

T = TypeVar("T")
Requests = Callable[[], AsyncIterator[pb.IngestRequest]]

TIMEOUT_S = 30.0
PART_BYTES = 256 * 1024

RECEIVED, PARSED, CHUNKED, EMBEDDED, STORED = range(1, 6)
"""The numbers of the phases."""


def new_id() -> str:
    """As the edge makes them."""
    return f"file-{secrets.token_hex(12)}"


def manual(paragraphs: int, subject: str = "the kettle") -> bytes:
    """A Markdown text of so many sections, each about as long as a passage; no two are alike."""
    sections = (
        f"## Section {number:05}\n\n"
        + " ".join(
            f"Step {number:05}-{line:02} of {subject}: turn the dial to {number * 31 + line:08}." for line in range(14)
        )
        for number in range(paragraphs)
    )
    return ("# A manual\n\n" + "\n\n".join(sections)).encode()


@dataclass(slots=True)
class Ingested:
    """What an ingestion told: its progress as phase, done and total."""

    progress: list[tuple[int, int, int]] = field(default_factory=list)
    document: embed_pb2.Document | None = None

    @property
    def phases(self) -> list[int]:
        """In their order, each once."""
        return list(dict.fromkeys(phase for phase, _, _ in self.progress))

    @property
    def stored(self) -> embed_pb2.Document:
        assert self.document is not None
        return self.document


class Library:
    """Calls one embed_fn on behalf of one tenant; failures come as DormouseError."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self._stub = caller.stub
        self._options: Any = {"metadata": caller.metadata, "timeout": TIMEOUT_S}

    async def ingest(
        self,
        content: bytes,
        document_id: str = "",
        *,
        name: str = "manual.md",
        announce: bool = True,
        metadata: Mapping[str, str] | None = None,
        told: Ingested | None = None,
        **header: Any,
    ) -> Ingested:
        """Sends it and returns when all is told, in `told` meanwhile too. header: other values of its fields."""
        told = Ingested() if told is None else told
        known = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)} if announce else {}
        fields: Any = {
            "document_id": document_id or new_id(),
            "name": name,
            "metadata": metadata or {},
            **known,
            **header,
        }

        async def requests() -> AsyncIterator[pb.IngestRequest]:
            yield pb.IngestRequest(header=pb.IngestHeader(**fields))
            for start in range(0, len(content), PART_BYTES):
                yield pb.IngestRequest(data=content[start : start + PART_BYTES])

        return await self.send(requests, told)

    async def send(self, requests: Requests, told: Ingested | None = None) -> Ingested:
        """An ingestion of any messages."""
        told = Ingested() if told is None else told
        while True:
            call = self._stub.Ingest(requests(), **self._options)
            try:
                async for event in call:
                    if event.WhichOneof("event") == "document":
                        told.document = event.document
                    else:
                        told.progress.append((event.progress.phase, event.progress.done, event.progress.total))
                return told
            except grpc.aio.AioRpcError as error:
                # What gRPC's client makes of an answer that comes while it sends, once in some hundred times.
                if error.details() != "Internal error from Core":
                    raise from_rpc_error(error) from error
            finally:
                call.cancel()

    async def get(self, document_id: str) -> embed_pb2.Document:
        return (
            await _answer(self._stub.GetDocument(pb.GetDocumentRequest(document_id=document_id), **self._options))
        ).document

    async def list(self, page_size: int = 0, page_token: str = "") -> pb.ListDocumentsResponse:
        request = pb.ListDocumentsRequest(page_size=page_size, page_token=page_token)
        return await _answer(self._stub.ListDocuments(request, **self._options))

    async def ids(self) -> set[str]:
        """Of all documents, page by page."""
        found, token = set[str](), ""
        while True:
            page = await self.list(200, token)
            found |= {document.id for document in page.documents}
            token = page.next_page_token
            if not token:
                return found

    async def passage(self, chunk_id: str) -> embed_pb2.Passage:
        return (await _answer(self._stub.GetPassage(pb.GetPassageRequest(chunk_id=chunk_id), **self._options))).passage

    async def delete(self, document_id: str) -> pb.DeleteDocumentResponse:
        return await _answer(
            self._stub.DeleteDocument(pb.DeleteDocumentRequest(document_id=document_id), **self._options)
        )

    async def search(self, query: str, **fields: Any) -> pb.SearchResponse:
        request = pb.SearchRequest(query=query, **{"mode": embed_pb2.SEARCH_MODE_FAST, **fields})
        return await _answer(self._stub.Search(request, **self._options))

    async def reindex(self) -> builtins.list[pb.ReindexResponse]:
        try:
            return [told async for told in self._stub.Reindex(pb.ReindexRequest(), **self._options)]
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    async def until(self, told: Ingested, phase: int, done: int = 0) -> None:
        """Returns when an ingestion is in that phase, or behind it, with so many passages done."""
        async with asyncio.timeout(10):
            while not any(now > phase or (now == phase and count >= done) for now, count, _ in told.progress):
                await asyncio.sleep(0.005)


async def _answer(call: Awaitable[T]) -> T:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error


@asynccontextmanager
async def reading(
    stack: Stack, embed_fn: EmbedFn, tenant: Tenant, *, scopes: tuple[str, ...] = ("documents",)
) -> AsyncIterator[Library]:
    """A library with a channel of its own."""
    async with calling(stack, embed_fn, tenant, scopes=scopes) as caller:
        yield Library(caller)
