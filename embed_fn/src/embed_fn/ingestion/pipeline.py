"""The way of one document, from a file to READY. Every step goes on from what is stored, whoever has stored it."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError

from embed_fn import errors
from embed_fn.ingestion.passage_vectors import PassageVectors
from embed_fn.ingestion.records import Phase, Progress
from embed_fn.ingestion.reindexing import Reindexing
from embed_fn.parsing.errors import UnreadableError
from embed_fn.parsing.reader import RECIPE, DocumentReader
from embed_fn.store.documents import DocumentStore
from embed_fn.store.records import Document, DocumentState, Model, NewEmbedding
from embed_fn.work_meter import WorkMeter

# Passages that are in memory: as texts, and as vectors twice, because while some are stored the next are embedded.
_BATCH: Final = 128
_MODEL_CHANGES: Final = 10

Tell = Callable[[Progress], None]


class Pipeline:
    """Raises what the reader, the embedder and the stores raise; what is stored then stays, for another attempt."""

    def __init__(
        self,
        documents: DocumentStore,
        reader: DocumentReader,
        vectors: PassageVectors,
        reindexing: Reindexing,
        came: Callable[[str], None],
        meter: WorkMeter | None = None,
    ) -> None:
        """came: told the tenant for which a document has become READY."""
        self._meter = meter or WorkMeter()
        self._documents = documents
        self._reader = reader
        self._vectors = vectors
        self._reindexing = reindexing
        self._came = came

    async def run(self, tenant: str, document: Document, content: Path | None, tell: Tell) -> Document:
        """The document, READY. content: None where all passages are stored.

        Errors: UnreadableError, and the document has FAILED; DOCUMENT_NOT_FOUND where it was deleted meanwhile.
        """
        tell(Progress(Phase.RECEIVED))
        with self._meter.ingestion():
            return await self._run(tenant, document, content, tell)

    async def _run(self, tenant: str, document: Document, content: Path | None, tell: Tell) -> Document:
        try:
            if content is not None:
                await self._store_passages(tenant, document, content, tell)
            return await self._embed(tenant, document.id, tell)
        except UnreadableError as error:
            await self._documents.fail(tenant, document.id, error.message)
            raise
        except DormouseError as error:
            if error.reason != error_pb2.ERROR_REASON_DOCUMENT_NOT_FOUND:
                raise
            return await self._ended_elsewhere(tenant, document.id)

    async def _ended_elsewhere(self, tenant: str, document_id: str) -> Document:
        """It is INGESTING no longer: another process was faster, or it is deleted."""
        document = await self._documents.get(tenant, document_id)
        if document.state is DocumentState.FAILED:
            raise UnreadableError(document.error)
        if document.state is not DocumentState.READY:
            raise errors.conflict("The document was deleted and is being ingested anew.")
        return document

    async def _store_passages(self, tenant: str, document: Document, content: Path, tell: Tell) -> None:
        # By the name that is stored: another sender's may be another, and passages are the same whoever sends.
        async with self._reader.read(content, document.name) as read:
            total = read.chunk_count
            document = await self._documents.parsed(
                tenant, document.id, media_type=read.media_type, page_count=read.page_count, chunk_total=total
            )
            tell(Progress(Phase.PARSED, 0, total))
            tell(Progress(Phase.CHUNKED, document.chunk_count, total))
            async for chunks in read.batches(_BATCH, first=document.chunk_count):
                stored = await self._documents.add_chunks(tenant, document.id, RECIPE, chunks)
                tell(Progress(Phase.CHUNKED, stored, total))

    async def _embed(self, tenant: str, document_id: str, tell: Tell) -> Document:
        document = await self._documents.get(tenant, document_id)
        total = document.chunk_total or 0
        for _ in range(_MODEL_CHANGES):
            choice = await self._vectors.choose(tenant)
            if not choice.is_active:
                # The model that the tenant's passages were embedded with cannot be had any more.
                await self._reindexing.run(tenant)
                continue
            await self._embed_with(
                tenant, document_id, choice.model, lambda done: tell(Progress(Phase.EMBEDDED, done, total))
            )
            completed = await self._documents.complete(tenant, document_id)
            if completed is not None:
                self._came(tenant)
                tell(Progress(Phase.STORED, completed.chunk_count, completed.chunk_count))
                return completed
        raise errors.model_unavailable("The embedding model keeps changing.")

    async def _embed_with(self, tenant: str, document_id: str, model: Model, tell: Callable[[int], None]) -> None:
        async def store(embeddings: Sequence[NewEmbedding], done: int) -> None:
            await self._documents.add_embeddings(tenant, model, embeddings)
            self._meter.stored(len(embeddings))
            tell(done)

        done = 0
        storing: asyncio.Task[None] | None = None
        try:
            while lacking := await self._documents.unembedded(tenant, document_id, model, _BATCH, after=done - 1):
                embeddings = await self._vectors.embed(tenant, model, lacking)
                if storing is not None:
                    await storing
                # They come in the order of their numbers, so all before the last are embedded.
                done = lacking[-1].number + 1
                storing = asyncio.create_task(store(embeddings, done))
            if storing is not None:
                await storing
        finally:
            if storing is not None:
                storing.cancel()
                await asyncio.gather(storing, return_exceptions=True)
