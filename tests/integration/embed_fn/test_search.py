"""Search over real rows: what is found, in what order, in what time, and what never is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg
import pytest
from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError
from embed_fn.embedding.port import Embedded, EmbeddingModel, Item, Purpose
from embed_fn.postgres import Postgres
from embed_fn.search import limits, statements
from embed_fn.search.complexity import Outcome
from embed_fn.search.limits import EFFORTS, Effort
from embed_fn.search.outcomes import Outcomes
from embed_fn.search.passage_index import ModelChangedError, PassageIndex
from embed_fn.search.plan import Way
from embed_fn.search.port import Found, Mode, Question
from embed_fn.search.searcher import Searcher
from embed_fn.store import settling as settling_module
from embed_fn.store.documents import DocumentStore
from embed_fn.store.models import ModelStore
from embed_fn.store.records import NewEmbedding
from embed_fn.store.settling import Settling
from embed_fn.store.transactions import Transactions

from embed_fn import errors
from tests.integration.embed_fn.library import (
    DIMENSIONS,
    RECIPE,
    cut,
    embed_all,
    new_document,
    store_document,
    vector,
    vector_of,
)
from tests.stack import Stack, Tenant

FRUIT = ("apples grow on trees", "pears grow on trees too", "the submarine dives", "bananas are yellow", "cars are red")


class Embedder:
    """Embeds a question like the passage that it is equal to."""

    def __init__(self, version: str = "1") -> None:
        self.versions = {"test-embed": version, "newer": "1"}
        self.waits: asyncio.Event | None = None
        self.fails = False

    async def model(self, name: str = "") -> EmbeddingModel:
        return EmbeddingModel(name or "test-embed", self.versions[name or "test-embed"], DIMENSIONS)

    async def embed(
        self,
        tenant: str,
        texts: Sequence[str],
        *,
        model: str = "",
        dimensions: int = 0,
        purpose: Purpose = Purpose.AS_IT_IS,
    ) -> Embedded:
        if self.fails:
            raise errors.model_unavailable()
        if self.waits is not None:
            await self.waits.wait()
        return Embedded(model, DIMENSIONS, [Item(vector_of(text)) for text in texts])


class Reasoner:
    def __init__(self, *, rewritten: Sequence[str] = (), best: str = "", fails: bool = False) -> None:
        self.rewritten = rewritten
        self.best = best
        self.fails = fails

    async def rewrite(self, question: str, timeout_s: float) -> Sequence[str]:
        if self.fails:
            raise errors.model_unavailable()
        return self.rewritten

    async def rank(self, question: str, passages: Sequence[str], timeout_s: float) -> Sequence[float]:
        if self.fails:
            raise errors.model_timeout()
        return [1.0 if self.best in passage else 0.0 for passage in passages]


class Finder:
    """A searcher and its collaborators."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self.embedder = Embedder()
        self.settling = Settling(postgres)
        self.index = PassageIndex(postgres, self.settling)
        self.outcomes = Outcomes(postgres)

    def searcher(self, reasoner: Reasoner | None = None) -> Searcher:
        return Searcher(self.index, self.embedder, self.outcomes, reasoner)

    async def find(self, tenant: Tenant, text: str, **options: object) -> Found:
        return await self.searcher().search(tenant.id, Question(text, **{"mode": Mode.BALANCED, **options}))  # type: ignore[arg-type]

    async def nearest(self, tenant: Tenant, text: str, way: Way, **options: object) -> list[int]:
        effort = Effort(10, 10.0, 10, 100, 1000)
        question = Question(text, **options)  # type: ignore[arg-type]
        library = await self.index.library(tenant.id, question)
        return list(await self.index.nearest(tenant.id, library, vector_of(text), question, effort, way=way))


@pytest.fixture
async def finder(postgres: Postgres) -> AsyncIterator[Finder]:
    finder = Finder(postgres)
    yield finder
    await finder.outcomes.aclose()
    await finder.settling.aclose()


def texts_of(found: Found) -> list[str]:
    return [hit.passage.text for hit in found.hits]


async def store_apart(store: DocumentStore, models: ModelStore, tenant: Tenant, texts: Sequence[str]) -> list[str]:
    """Each text as a document, so that nothing is merged. Returns their ids."""
    return [(await store_document(store, models, tenant.id, cut(text))).id for text in texts]


async def test_what_both_halves_find_comes_first_and_has_both_scores(
    store: DocumentStore, models: ModelStore, tenant: Tenant, finder: Finder
) -> None:
    await store_apart(store, models, tenant, FRUIT)
    found = await finder.find(tenant, "pears grow on trees too")
    assert texts_of(found)[:2] == ["pears grow on trees too", "apples grow on trees"]
    best, second = found.hits[:2]
    assert best.vector_score == pytest.approx(1, abs=1e-3)
    assert best.text_score is not None
    assert second.text_score is not None
    assert second.text_score < best.text_score
    assert best.score == pytest.approx(2 / 61)
    without = next(hit for hit in found.hits if hit.passage.text == "cars are red")
    assert without.text_score is None
    assert len(found.hits) == len(FRUIT)
    assert (found.mode, found.left_out) == (Mode.BALANCED, ())


async def test_a_rare_word_decides_and_a_long_question_still_finds_something(
    store: DocumentStore, models: ModelStore, tenant: Tenant, finder: Finder
) -> None:
    common = [f"the pump number {i} needs water and oil" for i in range(40)]
    await store_apart(store, models, tenant, [*common, "the pump Zephyr needs care"])
    question = "please tell me everything that one has to know about the pump which is called zephyr " * 20
    ranks = await finder.index.matching(tenant.id, question, Question(question), EFFORTS[Mode.BALANCED])
    stored = await finder.index.passages(tenant.id, ranks)
    assert stored[next(iter(ranks))].passage.text == "the pump Zephyr needs care"


@pytest.mark.parametrize(
    "question",
    [
        *("'", '"', "\\", "\0", "a\0b", 'it\'s "quoted" \\ x', "& | ! ( ) <-> :*", "!apples", "apples & "),
        *("the of and", "'; drop table chunks; --", "=1", "'=1'", "%s %(x)s {}", "\ud800", "😀", "مرحبا بالعالم"),
        *("漢字", "\u202eabc", "apples " * 585, "x" * 4096, "'" * 4096, "a b " * 1024, '- -apples -"trees'),
        "websearch:or OR AND NOT near/3",
    ],
    ids=lambda question: ascii(question[:24]),
)
async def test_no_question_is_an_operator_or_an_error(
    store: DocumentStore, models: ModelStore, tenant: Tenant, finder: Finder, question: str
) -> None:
    await store_apart(store, models, tenant, ("apples'=\\ & grow",))
    finder.embedder.fails = True
    try:
        found = await finder.find(tenant, question[:4096], metadata={}, document_ids=("x\0", "'"))
    finally:
        finder.embedder.fails = False
    assert found.hits == []
    found = await finder.find(tenant, question[:4096])
    assert len(found.hits) == 1


@pytest.mark.parametrize("question", [Question(""), Question("x" * 4097), Question("x", limit=101)])
async def test_a_question_out_of_bounds_is_refused(tenant: Tenant, finder: Finder, question: Question) -> None:
    with pytest.raises(DormouseError) as caught:
        await finder.searcher().search(tenant.id, question)
    assert caught.value.reason == error_pb2.ERROR_REASON_INVALID_ARGUMENT


async def test_only_whole_documents_are_found_and_all_of_one_at_once(
    store: DocumentStore, models: ModelStore, tenant: Tenant, finder: Finder
) -> None:
    await store_document(store, models, tenant.id, cut("a first document"))
    model = await models.active(tenant.id)
    assert model is not None
    new = new_document()
    await store.begin(tenant.id, new)
    await store.parsed(tenant.id, new.id, media_type="text/plain", page_count=0, chunk_total=len(FRUIT))
    await store.add_chunks(tenant.id, new.id, RECIPE, cut(*FRUIT, gap=100))
    await embed_all(store, tenant.id, new.id, model)
    assert texts_of(await finder.find(tenant, "apples grow on trees")) == ["a first document"]
    for way in Way:
        assert len(await finder.nearest(tenant, FRUIT[0], way)) == 1
    question = Question("apples grow on trees, document")
    assert len(await finder.index.matching(tenant.id, question.text, question, EFFORTS[Mode.FAST])) == 1
    await store.complete(tenant.id, new.id)
    assert len((await finder.find(tenant, "apples grow on trees")).hits) == 6
    for way in Way:
        assert len(await finder.nearest(tenant, FRUIT[0], way)) == 6
    await store.delete(tenant.id, new.id)
    assert texts_of(await finder.find(tenant, "apples grow on trees")) == ["a first document"]


async def test_tenants_with_the_same_documents_find_each_their_own(
    stack: Stack, store: DocumentStore, models: ModelStore, tenant: Tenant, finder: Finder
) -> None:
    other = await stack.database.tenant()
    mine = await store_apart(store, models, tenant, FRUIT)
    theirs = await store_apart(store, models, other, FRUIT)
    for owner, ids in ((tenant, mine), (other, theirs)):
        found = await finder.find(owner, "apples grow on trees", limit=100)
        assert sorted(hit.passage.document_id for hit in found.hits) == sorted(ids)
    keys = await finder.nearest(tenant, FRUIT[0], Way.ALL)
    assert await finder.index.passages(other.id, keys) == {}
    strangers = await finder.find(tenant, "apples grow on trees", document_ids=tuple(theirs))
    assert strangers.hits == []
    nobody = await stack.database.tenant()
    assert (await finder.find(nobody, "apples")).hits == ()


async def test_filters_keep_to_the_documents_that_they_name(
    store: DocumentStore, models: ModelStore, tenant: Tenant, finder: Finder
) -> None:
    for team, text in zip(("a", "b", "a", "b", "a"), FRUIT, strict=True):
        new = new_document(metadata={"team": team, "year": "2026"})
        await store_document(store, models, tenant.id, cut(text), new)
    question = "trees"
    found = await finder.find(tenant, question, metadata={"team": "b", "year": "2026"})
    assert sorted(texts_of(found)) == ["bananas are yellow", "pears grow on trees too"]
    some = [hit.passage.document_id for hit in found.hits][:1]
    assert len((await finder.find(tenant, question, document_ids=some)).hits) == 1
    assert (await finder.find(tenant, question, metadata={"team": "a"}, document_ids=some)).hits == []
    assert (await finder.find(tenant, question, metadata={"team": "c"})).hits == []
    for way in Way:
        if way is not Way.ALL:
            assert len(await finder.nearest(tenant, question, way, metadata={"team": "b"})) == 2


async def test_neighbours_are_one_hit_whose_offsets_are_true(
    store: DocumentStore, models: ModelStore, tenant: Tenant, finder: Finder
) -> None:
    texts = [*(f"filler {i} " + "word " * 20 for i in range(20)), "The valve is blue.", "The valve is brass."]
    document = await store_document(store, models, tenant.id, cut(*texts, gap=2))
    found = await finder.find(tenant, "valve blue brass", limit=1)
    [hit] = found.hits
    assert hit.passage.text == "The valve is blue.\n\nThe valve is brass."
    assert hit.passage.chunk_id == f"{document.id}.20-21"
    assert hit.passage.end - hit.passage.start == len(hit.passage.text)
    assert await store.passage(tenant.id, hit.passage.chunk_id) == hit.passage


async def test_auto_takes_the_mode_that_the_question_wants(
    store: DocumentStore, models: ModelStore, tenant: Tenant, finder: Finder
) -> None:
    await store_apart(store, models, tenant, [f"passage {i} about apples" for i in range(20)])
    fast = await finder.find(tenant, "apples", mode=Mode.AUTO)
    assert (fast.mode, len(fast.hits)) == (Mode.FAST, 5)
    middle = "How do apples and pears differ?"
    balanced = await finder.find(tenant, middle, mode=Mode.AUTO)
    assert (balanced.mode, len(balanced.hits)) == (Mode.BALANCED, 10)


async def test_deep_rewrites_and_ranks_and_without_its_model_is_a_longer_balanced(
    store: DocumentStore, models: ModelStore, tenant: Tenant, finder: Finder
) -> None:
    await store_apart(store, models, tenant, FRUIT)
    question = Question("something else entirely", mode=Mode.DEEP)
    deep = await finder.searcher(Reasoner(rewritten=["submarine"], best="yellow")).search(tenant.id, question)
    assert texts_of(deep)[0] == "bananas are yellow"
    assert (deep.mode, deep.left_out) == (Mode.DEEP, ())
    rewritten = await finder.searcher(Reasoner(rewritten=["submarine"], best="nothing")).search(tenant.id, question)
    balanced = await finder.find(tenant, question.text)
    assert texts_of(rewritten) != texts_of(balanced)
    for reasoner in (Reasoner(fails=True), None):
        without = await finder.searcher(reasoner).search(tenant.id, question)
        assert texts_of(without) == texts_of(balanced)
        assert without.left_out == ("rewriting", "reranking")


async def test_a_part_that_is_slow_or_fails_is_left_out_and_named(
    store: DocumentStore, models: ModelStore, tenant: Tenant, finder: Finder, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store_apart(store, models, tenant, FRUIT)
    finder.embedder.fails = True
    found = await finder.find(tenant, "apples", mode=Mode.FAST)
    assert (texts_of(found), found.left_out) == (["apples grow on trees"], ("vectors",))
    finder.embedder.fails = False
    finder.embedder.waits = asyncio.Event()
    monkeypatch.setitem(limits.EFFORTS, Mode.FAST, Effort(5, 0.4, 30, 80, 1000))
    began = asyncio.get_running_loop().time()
    found = await finder.find(tenant, "apples", mode=Mode.FAST)
    assert (texts_of(found), found.left_out) == (["apples grow on trees"], ("vectors",))
    assert asyncio.get_running_loop().time() - began < 0.6


async def test_a_question_is_never_compared_with_vectors_of_other_weights(
    store: DocumentStore, models: ModelStore, tenant: Tenant, finder: Finder
) -> None:
    await store_apart(store, models, tenant, FRUIT)
    finder.embedder.versions["test-embed"] = "2"
    found = await finder.find(tenant, "apples grow on trees")
    assert found.left_out == ("vectors",)
    assert {hit.vector_score for hit in found.hits} == {None}


async def test_a_reindex_changes_all_vectors_at_once_while_searches_go_on(
    store: DocumentStore, models: ModelStore, tenant: Tenant, finder: Finder
) -> None:
    await store_apart(store, models, tenant, FRUIT)
    old = await models.active(tenant.id)
    newer = await models.ensure("newer", "1", DIMENSIONS)
    assert old is not None
    assert await models.active(tenant.id, newer) == old
    assert await models.switch(tenant.id, newer) is False
    stop = asyncio.Event()

    async def search_on() -> int:
        searches = 0
        while not stop.is_set():
            found = await finder.find(tenant, "apples grow on trees")
            assert found.left_out == ()
            assert found.hits[0].vector_score == pytest.approx(1, abs=1e-3)
            assert len(found.hits) == len(FRUIT)
            searches += 1
        return searches

    async with asyncio.TaskGroup() as tasks:
        searching = [tasks.create_task(search_on()) for _ in range(2)]
        while lacking := await models.unembedded(tenant.id, newer, 2):
            vectors = [NewEmbedding(each.key, vector_of(each.text)) for each in lacking]
            await store.add_embeddings(tenant.id, newer, vectors)
        assert await models.switch(tenant.id, newer)
        await models.drop_others(tenant.id)
        assert await models.active(tenant.id) == newer
        await finder.find(tenant, "apples")
        stop.set()
    assert sum(task.result() for task in searching) > 0
    assert (await models.progress(tenant.id, old)).done == 0
    library = replace(await finder.index.library(tenant.id), model=old)
    with pytest.raises(ModelChangedError):
        await finder.index.nearest(tenant.id, library, vector(1), Question("x"), EFFORTS[Mode.FAST])


async def test_a_document_that_came_with_the_old_model_holds_the_switch_up(
    store: DocumentStore, models: ModelStore, tenant: Tenant
) -> None:
    await store_apart(store, models, tenant, FRUIT[:1])
    newer = await models.ensure("newer", "1", DIMENSIONS)
    new = new_document()
    await store.begin(tenant.id, new)
    await store.parsed(tenant.id, new.id, media_type="text/plain", page_count=0, chunk_total=1)
    await store.add_chunks(tenant.id, new.id, RECIPE, cut("late"))
    old = await models.active(tenant.id)
    assert old is not None
    await embed_all(store, tenant.id, new.id, old)
    for each in await models.unembedded(tenant.id, newer, 10):
        await store.add_embeddings(tenant.id, newer, [NewEmbedding(each.key, vector_of(each.text))])
    assert await models.switch(tenant.id, newer)
    assert await store.complete(tenant.id, new.id) is None, "its vectors are of the old model"
    await embed_all(store, tenant.id, new.id, newer)
    assert await store.complete(tenant.id, new.id) is not None


async def test_documents_that_go_during_searches_are_missed_without_an_error(
    store: DocumentStore, models: ModelStore, tenant: Tenant, finder: Finder
) -> None:
    ids = await store_apart(store, models, tenant, [f"apples number {i}" for i in range(12)])

    async def delete_all() -> None:
        for each in ids:
            await store.delete(tenant.id, each)

    async def search_on() -> None:
        while (found := await finder.find(tenant, "apples", limit=20)).hits:
            assert found.left_out == ()

    await asyncio.gather(delete_all(), search_on(), search_on())


async def test_the_index_and_the_comparison_agree_and_the_index_fills_in_the_background(
    stack: Stack,
    store: DocumentStore,
    models: ModelStore,
    tenant: Tenant,
    finder: Finder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = await stack.database.tenant()
    for owner, count in ((tenant, 300), (other, 300)):
        chunks = cut(*(f"passage {i} of {owner.id}" for i in range(count)), gap=50)
        await store_document(store, models, owner.id, chunks, new_document(metadata={"n": owner.id}))
    monkeypatch.setattr(settling_module, "COMPARED", 10)
    by_comparing = await finder.nearest(tenant, "passage 7", Way.ALL)
    assert await finder.nearest(tenant, "passage 7", Way.INDEX) == by_comparing, "those that wait are compared"
    async with asyncio.timeout(20):
        while await not_indexed(stack, tenant):  # the search has seen that many wait
            assert await finder.nearest(tenant, "passage 7", Way.INDEX) == by_comparing
    assert await not_indexed(stack, other) == 300, "nobody has asked the index for its passages"
    filtered = await finder.nearest(tenant, "passage 7", Way.INDEX, metadata={"n": tenant.id})
    assert filtered == by_comparing
    assert await finder.settling.settle(other.id) == settling_module.BATCH
    assert await finder.nearest(other, "passage 7", Way.ALL) == await finder.nearest(other, "passage 7", Way.INDEX)


async def not_indexed(stack: Stack, tenant: Tenant) -> object:
    async with await psycopg.AsyncConnection.connect(stack.database.url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant.id])
        row = await (await connection.execute("select count(*) from embeddings where not indexed")).fetchone()
        return row[0] if row else 0


async def test_the_index_gives_the_order_where_it_is_asked_and_nothing_reads_a_whole_table(
    store: DocumentStore, models: ModelStore, tenant: Tenant, postgres: Postgres
) -> None:
    """Whatever the statistics say, of a table that is all but empty too."""
    await store_apart(store, models, tenant, FRUIT[:2])
    model = await models.active(tenant.id)
    assert model is not None
    values: dict[str, object] = {"tenant": tenant.id, "model": model.id, "dimensions": DIMENSIONS, "most": 5}
    values |= {"vector": str(list(vector(1))), "wanted": None, "ids": [], "ef_search": 40}

    async def ask(connection: Any, way: Way) -> str:
        # What earlier transactions of the connection have not handed in yet is counted with this one's.
        counted = "select relname, seq_scan from pg_stat_xact_user_tables order by relid"
        before = await (await connection.execute(counted)).fetchall()
        await (await connection.execute(statements.NEAREST, values | {"way": way.value})).fetchall()
        assert await (await connection.execute(counted)).fetchall() == before
        if way is not Way.INDEX:
            return ""
        query = "select nearest_by_index(%(model)s, %(dimensions)s) as text"
        text = (await (await connection.execute(query, values)).fetchone())["text"]
        for number, name in enumerate(("tenant", "vector", "most"), start=1):
            text = text.replace(f"${number}", "%(" + name + ")s" + ("::halfvec" if name == "vector" else ""))
        rows = await (await connection.execute("explain " + text.replace("$4", "null::bigint[]"), values)).fetchall()
        return "\n".join(row["QUERY PLAN"] for row in rows)

    for way in Way:
        plan = await Transactions(postgres).run(tenant.id, partial(ask, way=way))
        assert (f"Index Scan using embeddings_nearest_{model.id}" in plan) == (way is Way.INDEX)


async def test_outcomes_move_the_thresholds_of_their_tenant(
    stack: Stack, store: DocumentStore, models: ModelStore, tenant: Tenant, finder: Finder
) -> None:
    await store_apart(store, models, tenant, FRUIT)
    before = (await finder.index.library(tenant.id)).thresholds
    for i in range(50):
        finder.outcomes.record(tenant.id, Outcome(0.1 + i / 1000, Mode.BALANCED, 1.0), 5)
    async with asyncio.timeout(10):
        while (after := (await finder.index.library(tenant.id)).thresholds) == before:
            await asyncio.sleep(0.02)
    assert after.balanced_from == pytest.approx(before.balanced_from - 0.05, abs=1e-3)
    other = await stack.database.tenant()
    await store_apart(store, models, other, FRUIT[:1])
    assert (await finder.index.library(other.id)).thresholds == before
