"""The documents of tenants: how they come, are seen, and go.

How one is stored:

    document = await store.begin(tenant, NewDocument(…))      # ready already: done
    await store.parsed(tenant, document.id, …)
    stored = await store.add_chunks(tenant, document.id, recipe, chunks)         # batch by batch, again after a crash
    while lacking := await store.unembedded(tenant, document.id, model, 256):    # never twice the same
        await store.add_embeddings(tenant, model, embeddings)
    document = await store.complete(tenant, document.id)      # now searches see it, all at once

Several may do this with the same document at once: they share the work.
"""

from collections.abc import Sequence

from embed_fn.postgres import Postgres
from embed_fn.store.records import (
    Document,
    DocumentPage,
    Model,
    NewChunk,
    NewDocument,
    NewEmbedding,
    Passage,
    Unembedded,
)

LARGEST_BATCH = 512
"""Passages or embeddings that one call takes."""


class DocumentStore:
    """Every method reaches only the rows of its tenant, and raises DATABASE_UNAVAILABLE within seconds."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def begin(self, tenant: str, new: NewDocument) -> Document:
        """The document to go on with, which may have another id: that which has the same content, ready or not.

        The same id again: the same document, with what is stored of it; one that FAILED begins anew.
        Errors: CONFLICT where the id belongs to another content.
        """
        raise NotImplementedError

    async def parsed(
        self, tenant: str, document_id: str, *, media_type: str, page_count: int, chunk_total: int
    ) -> Document:
        """Notes what has been found out. Errors: DOCUMENT_NOT_FOUND, also where it is INGESTING no longer."""
        raise NotImplementedError

    async def add_chunks(self, tenant: str, document_id: str, recipe: str, chunks: Sequence[NewChunk]) -> int:
        """Stores at most LARGEST_BATCH passages; those that are stored stay. Returns how many the document has now.

        Errors: DOCUMENT_NOT_FOUND where it is INGESTING no longer, for instance deleted; CONFLICT: of another recipe.
        """
        raise NotImplementedError

    async def unembedded(self, tenant: str, document_id: str, model: Model, limit: int) -> Sequence[Unembedded]:
        """The first stored passages without this model's embedding, in order. Empty: none is missing."""
        raise NotImplementedError

    async def add_embeddings(self, tenant: str, model: Model, embeddings: Sequence[NewEmbedding]) -> None:
        """Stores at most LARGEST_BATCH; those that are stored stay; those of passages that have gone are dropped.

        Errors: INVALID_ARGUMENT for vectors of another length.
        """
        raise NotImplementedError

    async def complete(self, tenant: str, document_id: str) -> Document | None:
        """Makes the document READY. None: a passage lacks the embedding of the tenant's model, which may have changed
        meanwhile (see ModelStore.active): embed with that and call again. A document that is READY is just returned.

        Errors: DOCUMENT_NOT_FOUND; CONFLICT: passages are missing.
        """
        raise NotImplementedError

    async def fail(self, tenant: str, document_id: str, error: str) -> None:
        """Drops what is stored of a document that is INGESTING, and keeps the reason. error: a sentence for people."""
        raise NotImplementedError

    async def get(self, tenant: str, document_id: str) -> Document:
        """Errors: DOCUMENT_NOT_FOUND."""
        raise NotImplementedError

    async def list(self, tenant: str, *, page_size: int, page_token: str = "") -> DocumentPage:
        """Newest first. Errors: INVALID_ARGUMENT for a token that is none."""
        raise NotImplementedError

    async def passage(self, tenant: str, chunk_id: str) -> Passage:
        """A passage of a ready document. Errors: DOCUMENT_NOT_FOUND."""
        raise NotImplementedError

    async def delete(self, tenant: str, document_id: str) -> None:
        """Hides the document at once, then drops it in batches. One that was cut off is ended by `sweep`.

        Errors: DOCUMENT_NOT_FOUND.
        """
        raise NotImplementedError

    async def sweep(self) -> int:
        """Ends deletions, of all tenants, that were cut off at least a minute ago. Returns how many."""
        raise NotImplementedError
