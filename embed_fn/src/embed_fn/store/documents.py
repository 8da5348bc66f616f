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
from typing import TYPE_CHECKING

import orjson

from embed_fn import errors
from embed_fn.postgres import Postgres
from embed_fn.store.beginning import begin
from embed_fn.store.clearing import Clearing
from embed_fn.store.lacking import OF_DOCUMENT, lacking
from embed_fn.store.page_tokens import page_token, read_page_token
from embed_fn.store.passages import ChunkId, merged, passage_from
from embed_fn.store.records import (
    Document,
    DocumentPage,
    DocumentState,
    Model,
    NewChunk,
    NewDocument,
    NewEmbedding,
    Passage,
    Unembedded,
)
from embed_fn.store.rows import DOCUMENT, document_from, storable
from embed_fn.store.transactions import WRITE_S, Transactions

if TYPE_CHECKING:
    from dormouse_runtime.postgres import Connection

LARGEST_BATCH = 512
"""Passages or embeddings that one call takes."""

_LOCK_LIBRARY = "select model, chunks from libraries where tenant_id = %(tenant)s for update"
_LOCK_DOCUMENT = f"select {DOCUMENT} from documents where tenant_id = %(tenant)s and id = %(id)s for update"  # noqa: S608
_PARSED = f"""
    update documents set media_type = %(media_type)s, page_count = %(pages)s, chunk_total = %(total)s,
        changed_at = now()
    where tenant_id = %(tenant)s and id = %(id)s and state = 'ingesting' returning {DOCUMENT}
"""  # noqa: S608
_ADD_CHUNKS = """
    insert into chunks
        (tenant_id, document, number, text, headings, first_page, last_page, start_offset, end_offset)
    select %(tenant)s, %(document)s, number, text,
        array(select jsonb_array_elements_text(headings)), first_page, last_page, start_offset, end_offset
    from unnest(%(numbers)s::int[], %(texts)s::text[], %(headings)s::jsonb[], %(first_pages)s::int[],
        %(last_pages)s::int[], %(starts)s::bigint[], %(ends)s::bigint[])
        as given (number, text, headings, first_page, last_page, start_offset, end_offset)
    order by number
    on conflict do nothing
"""
_COUNT_CHUNKS = """
    update documents set chunk_count = chunk_count + %(added)s, changed_at = now()
    where tenant_id = %(tenant)s and number = %(document)s returning chunk_count
"""
_ADD_EMBEDDINGS = """
    insert into embeddings (tenant_id, chunk, model, document, vector)
    select c.tenant_id, c.key, %(model)s, c.document, given.vector::halfvec
    from unnest(%(keys)s::bigint[], %(vectors)s::text[]) as given (key, vector)
        join chunks c on c.tenant_id = %(tenant)s and c.key = given.key
    order by c.key for key share of c
    on conflict do nothing
"""
_EMBEDDED = """
    select count(*) as embedded from embeddings
    where tenant_id = %(tenant)s and document = %(document)s and model = %(model)s
"""
_COMPLETE = f"""
    update documents set state = 'ready', changed_at = now()
    where tenant_id = %(tenant)s and id = %(id)s returning {DOCUMENT}
"""  # noqa: S608
_COUNT_READY = "update libraries set chunks = chunks + %(more)s where tenant_id = %(tenant)s"
_FAIL = """
    update documents set state = 'failed', error = %(error)s, chunk_total = null, changed_at = now()
    where tenant_id = %(tenant)s and id = %(id)s and state = 'ingesting' returning number
"""
_GET = f"select {DOCUMENT} from documents where tenant_id = %(tenant)s and id = %(id)s and state <> 'deleted'"  # noqa: S608
_LIST = f"""
    select {DOCUMENT} from documents where tenant_id = %(tenant)s and state <> 'deleted'
        and (%(before)s::bigint is null
            or (created_at, id) < (timestamptz 'epoch' + %(before)s * interval '1 microsecond', %(before_id)s))
    order by created_at desc, id desc limit %(limit)s
"""  # noqa: S608
_PASSAGES = """
    select c.number, c.text, c.headings, c.first_page, c.last_page, c.start_offset, c.end_offset,
        d.id as document_id, d.name as document_name
    from documents d join chunks c on c.document = d.number and c.tenant_id = d.tenant_id
    where d.tenant_id = %(tenant)s and d.id = %(id)s and d.state = 'ready' and c.number between %(first)s and %(last)s
    order by c.number
"""
_DELETE = """
    update documents set state = 'deleted', changed_at = now() where tenant_id = %(tenant)s and id = %(id)s
"""


class DocumentStore:
    """Every method reaches only the rows of its tenant, and raises DATABASE_UNAVAILABLE within seconds (batches that
    are written: half a minute)."""

    def __init__(self, postgres: Postgres) -> None:
        self._transactions = Transactions(postgres)
        self._clearing = Clearing(self._transactions)

    async def begin(self, tenant: str, new: NewDocument) -> Document:
        """The document to go on with, which may have another id: that which has the same content, ready or not.

        The same id again: the same document, with what is stored of it; one that FAILED begins anew.
        Errors: CONFLICT where the id belongs to another content.
        """
        return await begin(self._transactions, self._clearing, tenant, new)

    async def parsed(
        self, tenant: str, document_id: str, *, media_type: str, page_count: int, chunk_total: int
    ) -> Document:
        """Notes what has been found out. Errors: DOCUMENT_NOT_FOUND, also where it is INGESTING no longer."""
        values = {
            "tenant": tenant,
            "id": storable(document_id),
            "media_type": storable(media_type),
            "pages": page_count,
            "total": chunk_total,
        }

        async def work(connection: "Connection") -> Document:
            row = await (await connection.execute(_PARSED, values)).fetchone()
            if row is None:
                raise errors.document_not_found()
            return document_from(row)

        return await self._transactions.run(tenant, work)

    async def add_chunks(self, tenant: str, document_id: str, recipe: str, chunks: Sequence[NewChunk]) -> int:
        """Stores at most LARGEST_BATCH passages; those that are stored stay. Returns how many the document has now.

        Errors: DOCUMENT_NOT_FOUND where it is INGESTING no longer, for instance deleted; CONFLICT: of another recipe.
        """
        assert len(chunks) <= LARGEST_BATCH
        values = {
            "tenant": tenant,
            "id": storable(document_id),
            "numbers": [chunk.number for chunk in chunks],
            "texts": [storable(chunk.text) for chunk in chunks],
            "headings": [orjson.dumps([storable(text) for text in chunk.headings]).decode() for chunk in chunks],
            "first_pages": [chunk.first_page for chunk in chunks],
            "last_pages": [chunk.last_page for chunk in chunks],
            "starts": [chunk.start for chunk in chunks],
            "ends": [chunk.end for chunk in chunks],
        }

        async def work(connection: "Connection") -> int:
            row = await (await connection.execute(_LOCK_DOCUMENT, values)).fetchone()
            if row is None or row["state"] != DocumentState.INGESTING:
                raise errors.document_not_found()
            if row["recipe"] != recipe:
                raise errors.conflict("The document is being ingested in another way.")
            mine = values | {"document": row["number"]}
            added = await connection.execute(_ADD_CHUNKS, mine)
            counted = await connection.execute(_COUNT_CHUNKS, mine | {"added": added.rowcount})
            count: int = (await counted.fetchone() or {})["chunk_count"]
            return count

        return await self._transactions.run(tenant, work, timeout_s=WRITE_S)

    async def unembedded(
        self, tenant: str, document_id: str, model: Model, limit: int, *, after: int = -1
    ) -> Sequence[Unembedded]:
        """The first stored passages without this model's embedding, in order, from behind the number `after`.

        Empty: none is missing there.
        """
        values = {"tenant": tenant, "id": storable(document_id), "model": model.id}

        async def work(connection: "Connection") -> Sequence[Unembedded]:
            return await lacking(connection, OF_DOCUMENT, values, after, limit)

        return await self._transactions.run(tenant, work, timeout_s=WRITE_S)

    async def add_embeddings(self, tenant: str, model: Model, embeddings: Sequence[NewEmbedding]) -> None:
        """Stores at most LARGEST_BATCH; those that are stored stay; those of passages that have gone are dropped.

        Errors: INVALID_ARGUMENT for vectors of another length.
        """
        assert len(embeddings) <= LARGEST_BATCH
        if any(len(embedding.vector) != model.dimensions for embedding in embeddings):
            raise errors.invalid_argument(f"Vectors of {model.name!r} have {model.dimensions} dimensions.")
        values = {
            "tenant": tenant,
            "model": model.id,
            "keys": [embedding.key for embedding in embeddings],
            "vectors": [orjson.dumps(embedding.vector.tolist()).decode() for embedding in embeddings],
        }

        async def work(connection: "Connection") -> None:
            await connection.execute(_ADD_EMBEDDINGS, values)

        await self._transactions.run(tenant, work, timeout_s=WRITE_S)

    async def complete(self, tenant: str, document_id: str) -> Document | None:
        """Makes the document READY. None: a passage lacks the embedding of the tenant's model, which may have changed
        meanwhile (see ModelStore.active): embed with that and call again. A document that is READY is just returned.

        Errors: DOCUMENT_NOT_FOUND; CONFLICT: passages are missing, or the tenant has no model yet.
        """
        values = {"tenant": tenant, "id": storable(document_id)}

        async def work(connection: "Connection") -> Document | None:
            library = await (await connection.execute(_LOCK_LIBRARY, values)).fetchone()
            row = await (await connection.execute(_LOCK_DOCUMENT, values)).fetchone()
            if library is None or row is None or row["state"] not in (DocumentState.INGESTING, DocumentState.READY):
                raise errors.document_not_found()
            if row["state"] == DocumentState.READY:
                return document_from(row)
            count = row["chunk_count"]
            if count != row["chunk_total"]:
                raise errors.conflict("The document is not whole yet.")
            if library["model"] is None and count:
                raise errors.conflict("There is no embedding model yet.")
            mine = values | {"document": row["number"], "model": library["model"], "more": count}
            embedded = await (await connection.execute(_EMBEDDED, mine)).fetchone()
            if embedded is None or embedded["embedded"] != count:
                return None
            await connection.execute(_COUNT_READY, mine)
            completed = await (await connection.execute(_COMPLETE, values)).fetchone()
            return None if completed is None else document_from(completed)

        return await self._transactions.run(tenant, work, timeout_s=WRITE_S)

    async def fail(self, tenant: str, document_id: str, error: str) -> None:
        """Drops what is stored of a document that is INGESTING, and keeps the reason. error: a sentence for people."""
        values = {"tenant": tenant, "id": storable(document_id), "error": storable(error)}

        async def work(connection: "Connection") -> int | None:
            row = await (await connection.execute(_FAIL, values)).fetchone()
            return row["number"] if row else None

        number = await self._transactions.run(tenant, work)
        if number is not None:
            await self._clearing.clear(tenant, number)

    async def get(self, tenant: str, document_id: str) -> Document:
        """Errors: DOCUMENT_NOT_FOUND."""
        values = {"tenant": tenant, "id": storable(document_id)}

        async def work(connection: "Connection") -> Document:
            row = await (await connection.execute(_GET, values)).fetchone()
            if row is None:
                raise errors.document_not_found()
            return document_from(row)

        return await self._transactions.run(tenant, work)

    async def list(self, tenant: str, *, page_size: int, page_token: str = "") -> DocumentPage:
        """Newest first. Errors: INVALID_ARGUMENT for a token that is none."""
        before, before_id = read_page_token(page_token)
        values = {"tenant": tenant, "before": before, "before_id": before_id, "limit": page_size + 1}

        async def work(connection: "Connection") -> DocumentPage:
            rows = await (await connection.execute(_LIST, values)).fetchall()
            shown = [document_from(row) for row in rows[:page_size]]
            return DocumentPage(shown, _next_token(rows[page_size - 1]) if len(rows) > page_size else "")

        return await self._transactions.run(tenant, work)

    async def passage(self, tenant: str, chunk_id: str) -> Passage:
        """A passage of a ready document, or several that were merged. Errors: DOCUMENT_NOT_FOUND."""
        wanted = ChunkId.parse(storable(chunk_id))
        if wanted is None:
            raise errors.document_not_found()
        values = {"tenant": tenant, "id": wanted.document, "first": wanted.first, "last": wanted.last}

        async def work(connection: "Connection") -> Passage:
            rows = await (await connection.execute(_PASSAGES, values)).fetchall()
            if len(rows) != wanted.last - wanted.first + 1:
                raise errors.document_not_found()
            return merged([passage_from(row) for row in rows], wanted)

        return await self._transactions.run(tenant, work)

    async def delete(self, tenant: str, document_id: str) -> None:
        """Hides the document at once, then drops it in batches. One that was cut off is ended by `sweep`.

        Errors: DOCUMENT_NOT_FOUND.
        """
        values = {"tenant": tenant, "id": storable(document_id)}

        async def work(connection: "Connection") -> int:
            await connection.execute(_LOCK_LIBRARY, values)
            row = await (await connection.execute(_LOCK_DOCUMENT, values)).fetchone()
            if row is None or row["state"] == "deleted":
                raise errors.document_not_found()
            if row["state"] == DocumentState.READY:
                await connection.execute(_COUNT_READY, values | {"more": -row["chunk_count"]})
            await connection.execute(_DELETE, values)
            number: int = row["number"]
            return number

        number = await self._transactions.run(tenant, work)
        await self._clearing.clear(tenant, number)

    async def sweep(self) -> int:
        """Ends deletions, of all tenants, that were cut off at least a minute ago. Returns how many."""
        return await self._clearing.sweep()


def _next_token(row: dict[str, object]) -> str:
    return page_token(row["created_us"], row["id"])
