"""The store: what is whole is seen, what is not is not, and what was cut off goes on."""

import asyncio

import psycopg
import pytest
from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError
from embed_fn.postgres import Postgres
from embed_fn.store.clearing import Clearing
from embed_fn.store.documents import DocumentStore
from embed_fn.store.models import ModelStore
from embed_fn.store.records import Document, DocumentState, NewDocument, NewEmbedding
from embed_fn.store.transactions import Transactions

from tests.integration.embed_fn.library import (
    DIMENSIONS,
    RECIPE,
    Cut,
    cut,
    embed_all,
    new_document,
    store_document,
    vector_of,
)
from tests.stack import Stack, Tenant

NOT_FOUND = error_pb2.ERROR_REASON_DOCUMENT_NOT_FOUND
CONFLICT = error_pb2.ERROR_REASON_CONFLICT
INVALID = error_pb2.ERROR_REASON_INVALID_ARGUMENT


async def refused(reason: int, call: object) -> None:
    with pytest.raises(DormouseError) as caught:
        await call  # type: ignore[misc]
    assert caught.value.reason == reason


async def test_a_document_goes_from_begun_to_ready(store: DocumentStore, models: ModelStore, tenant: Tenant) -> None:
    new = new_document(metadata={"team": "blue"})
    begun = await store.begin(tenant.id, new)
    assert (begun.id, begun.state, begun.chunk_count, begun.chunk_total) == (new.id, DocumentState.INGESTING, 0, None)
    chunks = [Cut(0, "Ärger 😀", 0, 7, ("A", "B"), 1, 2), Cut(1, "x\0\ud800y", 8, 12)]
    ready = await store_document(store, models, tenant.id, chunks, new)
    assert (ready.state, ready.chunk_count, ready.media_type) == (DocumentState.READY, 2, "text/plain")
    assert ready.metadata == {"team": "blue"}
    assert await store.get(tenant.id, new.id) == ready
    first = await store.passage(tenant.id, f"{new.id}.0")
    assert (first.text, first.headings, first.first_page, first.last_page) == ("Ärger 😀", ("A", "B"), 1, 2)
    assert (await store.passage(tenant.id, f"{new.id}.1")).text == "x\ufffd\ufffdy", "of the same length"
    both = await store.passage(tenant.id, f"{new.id}.0-1")
    assert (both.text, both.start, both.end, both.headings) == ("Ärger 😀\nx\ufffd\ufffdy", 0, 12, ())


@pytest.mark.parametrize(
    "chunk_id", ["", "nothing", ".0", "{id}.7", "{id}.0-7", "{id}.1-0", "{id}.0\0", "{id}." + "9" * 40]
)
async def test_a_passage_that_is_not_there_is_not_found(
    store: DocumentStore, models: ModelStore, tenant: Tenant, chunk_id: str
) -> None:
    document = await store_document(store, models, tenant.id, cut("one", "two"))
    await refused(NOT_FOUND, store.passage(tenant.id, chunk_id.replace("{id}", document.id)))


async def test_the_same_id_goes_on_and_the_same_content_is_the_same_document(
    store: DocumentStore, models: ModelStore, tenant: Tenant
) -> None:
    new = new_document()
    begun = await store.begin(tenant.id, new)
    await store.add_chunks(tenant.id, new.id, RECIPE, cut("one", "two")[:1])
    twin = NewDocument("file-twin", "other", 100, new.sha256, RECIPE)
    for again in (new, twin):
        resumed = await store.begin(tenant.id, again)
        assert (resumed.id, resumed.chunk_count) == (begun.id, 1)
    ready = await store_document(store, models, tenant.id, cut("one", "two"), twin)
    assert ready.id == new.id
    assert await store.begin(tenant.id, new) == ready
    await refused(CONFLICT, store.begin(tenant.id, NewDocument(new.id, "n", 1, "0" * 64, RECIPE)))


async def test_many_who_begin_the_same_at_once_get_one_document(store: DocumentStore, tenant: Tenant) -> None:
    sha256 = new_document().sha256
    news = [NewDocument(f"file-{i}", "n", 1, sha256, RECIPE) for i in range(12)]
    begun = await asyncio.gather(*(store.begin(tenant.id, new) for new in news))
    assert len({document.id for document in begun}) == 1


async def test_batches_that_come_again_or_side_by_side_are_stored_once(
    store: DocumentStore, models: ModelStore, tenant: Tenant
) -> None:
    new = new_document()
    chunks = cut(*(f"passage {i}" for i in range(300)))
    ready = await asyncio.gather(*(store_document(store, models, tenant.id, chunks, new) for _ in range(3)))
    assert {document.chunk_count for document in ready} == {300}
    model = await models.active(tenant.id)
    assert model is not None
    progress = await models.progress(tenant.id, model)
    assert (progress.done, progress.total) == (300, 300)


async def test_nothing_is_complete_that_lacks_a_passage_or_an_embedding(
    store: DocumentStore, models: ModelStore, tenant: Tenant
) -> None:
    model = await models.active(tenant.id, await models.ensure("test-embed", "1", DIMENSIONS))
    assert model is not None
    new = new_document()
    await store.begin(tenant.id, new)
    await refused(CONFLICT, store.complete(tenant.id, new.id))
    await store.parsed(tenant.id, new.id, media_type="text/plain", page_count=1, chunk_total=2)
    await store.add_chunks(tenant.id, new.id, RECIPE, cut("one", "two")[:1])
    await refused(CONFLICT, store.complete(tenant.id, new.id))
    await store.add_chunks(tenant.id, new.id, RECIPE, cut("one", "two"))
    assert await store.complete(tenant.id, new.id) is None
    await refused(NOT_FOUND, store.passage(tenant.id, f"{new.id}.0"))
    first, second = await store.unembedded(tenant.id, new.id, model, 10)
    await store.add_embeddings(tenant.id, model, [NewEmbedding(second.key, vector_of("two"))])
    assert [each.key for each in await store.unembedded(tenant.id, new.id, model, 10)] == [first.key]
    assert await store.unembedded(tenant.id, new.id, model, 10, after=0) == []
    assert await store.complete(tenant.id, new.id) is None
    await embed_all(store, tenant.id, new.id, model)
    completed = await store.complete(tenant.id, new.id)
    assert completed is not None
    assert await store.complete(tenant.id, new.id) == completed
    await refused(NOT_FOUND, store.add_chunks(tenant.id, new.id, RECIPE, cut("more")))
    await refused(INVALID, store.add_embeddings(tenant.id, model, [NewEmbedding(1, vector_of("x", dimensions=3))]))


async def test_another_recipe_drops_what_was_stored_and_keeps_its_writer_out(
    store: DocumentStore, tenant: Tenant
) -> None:
    new = new_document()
    await store.begin(tenant.id, new)
    await store.add_chunks(tenant.id, new.id, RECIPE, cut("one", "two"))
    newer = NewDocument(new.id, new.name, 100, new.sha256, "test-2")
    begun = await asyncio.gather(*(store.begin(tenant.id, newer) for _ in range(4)))
    assert {(document.recipe, document.chunk_count) for document in begun} == {("test-2", 0)}
    await refused(CONFLICT, store.add_chunks(tenant.id, new.id, RECIPE, cut("one")))
    assert await store.add_chunks(tenant.id, new.id, "test-2", cut("one")) == 1


async def test_what_is_in_use_is_not_cleared(
    store: DocumentStore, postgres: Postgres, stack: Stack, tenant: Tenant
) -> None:
    """By somebody who wanted to drop what another recipe had stored, and comes late."""
    new = new_document()
    await store.begin(tenant.id, new)
    await store.add_chunks(tenant.id, new.id, RECIPE, cut("one", "two"))
    [number] = await as_tenant(stack, tenant, "select number from documents")
    await Clearing(Transactions(postgres)).clear(tenant.id, int(str(number[0])))
    assert (await store.get(tenant.id, new.id)).chunk_count == 2
    assert (await rows_of(stack, tenant))["chunks"] == 2


async def test_a_failed_document_keeps_its_reason_and_nothing_else_and_can_begin_anew(
    stack: Stack, store: DocumentStore, models: ModelStore, tenant: Tenant
) -> None:
    new = new_document()
    await store.begin(tenant.id, new)
    await store.add_chunks(tenant.id, new.id, RECIPE, cut("one", "two"))
    await store.fail(tenant.id, new.id, "The file is broken.")
    failed = await store.get(tenant.id, new.id)
    assert (failed.state, failed.error, failed.chunk_count) == (DocumentState.FAILED, "The file is broken.", 0)
    assert await rows_of(stack, tenant) == {"documents": 1}
    ready = await store_document(store, models, tenant.id, cut("one", "two"), new)
    assert (ready.id, ready.state, ready.error) == (new.id, DocumentState.READY, "")
    await store.fail(tenant.id, new.id, "too late")
    assert (await store.get(tenant.id, new.id)).state == DocumentState.READY


async def test_a_deleted_document_leaves_nothing_and_its_content_can_come_again(
    stack: Stack, store: DocumentStore, models: ModelStore, tenant: Tenant
) -> None:
    chunks = cut(*(f"passage {i}" for i in range(1100)))
    new = new_document()
    await store_document(store, models, tenant.id, chunks, new)
    kept = await store_document(store, models, tenant.id, cut("passage that stays"))
    await store.delete(tenant.id, new.id)
    expected = {"documents": 1, "chunks": 1, "chunk_words": 1, "embeddings": 1, "word_counts": 2}
    assert await rows_of(stack, tenant) == expected
    assert [each.id for each in (await store.list(tenant.id, page_size=10)).documents] == [kept.id]
    await refused(NOT_FOUND, store.get(tenant.id, new.id))
    await refused(NOT_FOUND, store.delete(tenant.id, new.id))
    again = await store_document(store, models, tenant.id, chunks[:3], new)
    assert again.chunk_count == 3


async def test_a_deletion_that_was_cut_off_is_hidden_and_ended_later(
    stack: Stack, store: DocumentStore, models: ModelStore, tenant: Tenant
) -> None:
    document = await store_document(store, models, tenant.id, cut("one", "two"))
    await as_tenant(stack, tenant, "update documents set state = 'deleted', changed_at = now() - interval '2 minutes'")
    await refused(NOT_FOUND, store.get(tenant.id, document.id))
    await refused(NOT_FOUND, store.passage(tenant.id, f"{document.id}.0"))
    assert await store.sweep() >= 1
    assert await rows_of(stack, tenant) == {}


async def test_a_document_that_is_deleted_while_it_is_stored_stays_deleted(
    stack: Stack, store: DocumentStore, models: ModelStore, tenant: Tenant
) -> None:
    new = new_document()
    await store.begin(tenant.id, new)
    await store.add_chunks(tenant.id, new.id, RECIPE, cut("one"))
    model = await models.ensure("test-embed", "1", DIMENSIONS)
    [lacking] = await store.unembedded(tenant.id, new.id, model, 10)
    await store.delete(tenant.id, new.id)
    await store.add_embeddings(tenant.id, model, [NewEmbedding(lacking.key, vector_of("one"))])
    await refused(NOT_FOUND, store.add_chunks(tenant.id, new.id, RECIPE, cut("one", "two")))
    await refused(NOT_FOUND, store.complete(tenant.id, new.id))
    assert await rows_of(stack, tenant) == {}


async def test_pages_hold_every_document_once_newest_first(store: DocumentStore, tenant: Tenant) -> None:
    ids = [(await store.begin(tenant.id, new_document())).id for _ in range(7)]
    listed: list[Document] = []
    token = ""
    while True:
        page = await store.list(tenant.id, page_size=3, page_token=token)
        assert len(page.documents) <= 3
        listed += page.documents
        token = page.next_token
        if not token:
            break
    assert [document.id for document in listed] == ids[::-1]
    for wrong in ("x", "ä", "MTIz", "A" * 500):
        await refused(INVALID, store.list(tenant.id, page_size=3, page_token=wrong))


async def test_a_tenant_reaches_nothing_of_another(
    stack: Stack, store: DocumentStore, models: ModelStore, tenant: Tenant
) -> None:
    new = new_document()
    mine = await store_document(store, models, tenant.id, cut("secret one", "secret two"), new)
    other = await stack.database.tenant()
    model = await models.active(tenant.id)
    assert model is not None
    for call in (
        store.get(other.id, new.id),
        store.passage(other.id, f"{new.id}.0"),
        store.delete(other.id, new.id),
        store.complete(other.id, new.id),
        store.add_chunks(other.id, new.id, RECIPE, cut("x")),
        store.parsed(other.id, new.id, media_type="x", page_count=0, chunk_total=1),
    ):
        await refused(NOT_FOUND, call)
    await store.fail(other.id, new.id, "mine now")
    assert (await store.list(other.id, page_size=10)).documents == []
    assert await store.unembedded(other.id, new.id, await models.ensure("another", "1", DIMENSIONS), 10) == []
    assert await models.active(other.id) is None
    [stolen] = await as_tenant(stack, tenant, "select min(key) from chunks")
    await store.add_embeddings(other.id, model, [NewEmbedding(int(str(stolen[0])), vector_of("x"))])
    theirs = await store_document(store, models, other.id, cut("secret lamp"), new)
    assert (theirs.id, theirs.chunk_count) == (new.id, 1), "the same id and content, and another document"
    assert await store.get(tenant.id, new.id) == mine
    one_of_each = dict.fromkeys((*TABLES, "chunk_words"), 1)
    assert await rows_of(stack, other) == one_of_each | {"word_counts": 2}
    for owner, count in ((tenant, 2), (other, 1)):
        query = "select c.text from match_words('secret lamp', null, 10, 10) m left join chunks c on c.key = m.chunk"
        found = await as_tenant(stack, owner, query)
        assert len(found) == count
        assert (None,) not in found


async def test_the_words_of_tenants_are_out_of_reach_and_need_a_tenant(
    stack: Stack, store: DocumentStore, models: ModelStore, tenant: Tenant
) -> None:
    await store_document(store, models, tenant.id, cut("secret one"))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await as_tenant(stack, tenant, "select * from chunk_words")
    async with await psycopg.AsyncConnection.connect(stack.database.url) as connection:
        for statement in (
            "select chunk from match_words('secret', null, 10, 10)",
            *(f"select * from {table}" for table in (*TABLES, "libraries", "embedding_cache", "search_outcomes")),
        ):
            assert await (await connection.execute(statement.encode())).fetchall() == []


TABLES = ("documents", "chunks", "embeddings", "word_counts")


async def as_tenant(stack: Stack, tenant: Tenant, statement: str) -> list[tuple[object, ...]]:
    async with await psycopg.AsyncConnection.connect(stack.database.url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant.id])
        cursor = await connection.execute(statement.encode())
        return await cursor.fetchall() if cursor.description else []


async def rows_of(stack: Stack, tenant: Tenant) -> dict[str, int]:
    """How many rows each table holds of the tenant, without those that hold none."""
    counts = {}
    async with await psycopg.AsyncConnection.connect(stack.database.owner_url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant.id])
        for table in (*TABLES, "chunk_words"):
            query = f"select count(*) from {table} where tenant_id = %s"
            row = await (await connection.execute(query.encode(), [tenant.id])).fetchone()
            counts[table] = row[0] if row else 0
    return {table: count for table, count in counts.items() if count}
