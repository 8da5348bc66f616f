"""All ingestions of the process: who joins which, how many at once, and what ends them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, aclosing
from dataclasses import replace
from pathlib import Path

from dormouse_runtime.errors import DormouseError

from embed_fn import errors
from embed_fn.ingestion.pipeline import Pipeline
from embed_fn.ingestion.places import Places
from embed_fn.ingestion.records import Announced, Progress
from embed_fn.ingestion.shared_work import SharedWork
from embed_fn.ingestion.upload import Upload, too_large
from embed_fn.parsing.reader import RECIPE
from embed_fn.store.documents import DocumentStore
from embed_fn.store.records import Document, DocumentState, NewDocument

Told = Progress | Document
_Work = SharedWork[Told]


class Ingestions:
    """Whoever makes it closes it."""

    def __init__(self, documents: DocumentStore, pipeline: Pipeline, *, most: int, most_bytes: int) -> None:
        """most: that may receive and work at once; the others' bytes wait with their senders. most_bytes: of a file."""
        self._documents = documents
        self._pipeline = pipeline
        self._places = Places(most)
        self._most_bytes = most_bytes
        self._works: dict[tuple[str, str], _Work] = {}

    async def ingest(
        self, tenant: str, announced: Announced, parts: AsyncIterator[bytes]
    ) -> AsyncGenerator[Told, None]:
        """Progress, and in the end the document, which has another id where its content was there already.

        Where content and length are announced the document begins before its bytes come. To close this, or being
        cancelled, ends the work unless others follow it; what is stored stays and waits for another attempt.
        Errors: UnreadableError, and the document has FAILED; INVALID_ARGUMENT, CONFLICT; DOCUMENT_NOT_FOUND where it is
        deleted meanwhile; and what the embedder and the store raise.
        """
        if announced.size_bytes > self._most_bytes:
            raise too_large(self._most_bytes)
        found = await self._find_or_start(tenant, announced, parts)
        if isinstance(found, Document):
            yield found
            return
        async with aclosing(found.follow()) as events:
            async for told in events:
                yield told

    async def delete(self, tenant: str, document_id: str) -> None:
        """Deletes a document, and ends its ingestion here; elsewhere that finds out by itself.

        Errors: DOCUMENT_NOT_FOUND.
        """
        await self._documents.delete(tenant, document_id)
        work = self._works.get((tenant, document_id))
        if work is not None:
            await work.stop(errors.document_not_found())

    async def aclose(self) -> None:
        """Ends all; who follows is told so."""
        await asyncio.gather(*(work.stop() for work in list(self._works.values())))

    async def _find_or_start(self, tenant: str, announced: Announced, parts: AsyncIterator[bytes]) -> _Work | Document:
        """The document where it is READY; else what works on it."""
        document: Document | None = None
        if announced.sha256 and announced.size_bytes:
            document = await self._begin(tenant, announced)
            found = self._without_bytes(tenant, document)
            if found is not None:
                return found
        with ExitStack() as resources:
            resources.enter_context(await self._places.take(tenant))
            if document is not None:
                # It may have taken long to get the place. Not begun again: if it was deleted meanwhile, that holds.
                document = await self._documents.get(tenant, document.id)
                found = self._without_bytes(tenant, document)
                if found is not None:
                    return found
            upload = resources.enter_context(Upload.open(self._most_bytes))
            document = await self._received(tenant, announced, document, upload, parts)
            found = self._without_bytes(tenant, document)
            return found or self._start(tenant, document, upload.path, resources.pop_all())

    async def _begin(self, tenant: str, announced: Announced) -> Document:
        new = NewDocument(
            id=announced.document_id,
            name=announced.name,
            size_bytes=announced.size_bytes,
            sha256=announced.sha256,
            recipe=RECIPE,
            metadata=announced.metadata,
        )
        return await self._documents.begin(tenant, new)

    async def _received(
        self,
        tenant: str,
        announced: Announced,
        document: Document | None,
        upload: Upload,
        parts: AsyncIterator[bytes],
    ) -> Document:
        try:
            await upload.receive(parts, announced)
        except DormouseError as error:
            is_mine = document is not None and document.id == announced.document_id
            if is_mine and not error.retryable and (tenant, announced.document_id) not in self._works:
                # It has begun with what was announced; what came is something else.
                await self._documents.fail(tenant, announced.document_id, error.message)
            raise
        if document is not None:
            return document
        return await self._begin(tenant, replace(announced, sha256=upload.sha256, size_bytes=upload.size_bytes))

    def _without_bytes(self, tenant: str, document: Document) -> _Work | Document | None:
        """The document where it is READY, the work that is under way, or new work where all passages are stored."""
        if document.state is DocumentState.READY:
            return document
        work = self._works.get((tenant, document.id))
        if work is None and document.chunk_total is not None and document.chunk_count == document.chunk_total:
            work = self._start(tenant, document, None, ExitStack())
        return work

    def _start(self, tenant: str, document: Document, content: Path | None, resources: ExitStack) -> _Work:
        """resources: closed with the end of the work."""

        async def run(work: _Work) -> None:
            completed = await self._pipeline.run(tenant, document, content, lambda told: work.tell(told.phase, told))
            work.tell("document", completed)

        def ended(work: _Work) -> None:
            if self._works.get(key) is work:
                del self._works[key]

        key = (tenant, document.id)
        work = self._works[key] = SharedWork(run, ended)
        work.when_done(resources.close)
        return work
