"""Two tenants with the same documents, in any order of operations: nobody ever sees a row of the other."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.contract.embed_fn.library import Library, manual, new_id, reading
from tests.stack import EmbedFn, Stack

T = TypeVar("T")
NOT_FOUND = ErrorReason.ERROR_REASON_DOCUMENT_NOT_FOUND

CONTENTS = [manual(2, subject) for subject in ("the kettle", "the lamp", "the clock")]
WORDS = ["kettle", "lamp", "clock"]
OWNERS = st.sampled_from([0, 1])
NUMBERS = st.integers(0, len(CONTENTS) - 1)
IDS = st.integers(0, 1)
"""Ids are few, so that both tenants use the same."""


@dataclass
class Shelf:
    """What one tenant must have: the id of each content, and the passages that it has been shown."""

    library: Library
    documents: dict[int, str] = field(default_factory=dict)
    passages: dict[str, str] = field(default_factory=dict)


class TwoTenants(RuleBasedStateMachine):
    """Its tenants are new in every example."""

    stack: Stack
    embed_fn: EmbedFn
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.resources = AsyncExitStack()
        self.ids = [new_id(), new_id()]
        self.shelves = [self.run(self.shelf()) for _ in range(2)]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def attempt(self, work: Coroutine[Any, Any, T], refusal: int) -> T | None:
        """None: it was refused for this reason."""
        try:
            return self.run(work)
        except DormouseError as error:
            if error.reason != refusal:
                raise
            return None

    async def shelf(self) -> Shelf:
        tenant = await self.stack.database.tenant()
        return Shelf(await self.resources.enter_async_context(reading(self.stack, self.embed_fn, tenant)))

    def teardown(self) -> None:
        self.run(self.resources.aclose())

    @initialize(content=NUMBERS, which=IDS)
    def both_have_the_same_document(self, content: int, which: int) -> None:
        for owner in (0, 1):
            self.ingest(owner, content, which, True)

    @rule(owner=OWNERS, content=NUMBERS, which=IDS, announce=st.booleans())
    def ingest(self, owner: int, content: int, which: int, announce: bool) -> None:
        shelf, document_id = self.shelves[owner], self.ids[which]
        taken = document_id in shelf.documents.values() and shelf.documents.get(content) != document_id
        told = self.attempt(
            shelf.library.ingest(CONTENTS[content], document_id, announce=announce), ErrorReason.ERROR_REASON_CONFLICT
        )
        if told is None:
            assert taken
            return
        # The tenant's own twin counts, never the other's: otherwise the id would not be the one that was asked for.
        assert told.stored.id == shelf.documents.get(content, document_id)
        shelf.documents[content] = told.stored.id

    @rule(owner=OWNERS, content=NUMBERS)
    def search(self, owner: int, content: int) -> None:
        shelf = self.shelves[owner]
        hits = self.run(shelf.library.search(f"the dial of the {WORDS[content]}", limit=100)).hits
        assert {hit.passage.document_id for hit in hits} <= set(shelf.documents.values())
        for hit in hits:
            own = [number for number, document_id in shelf.documents.items() if document_id == hit.passage.document_id]
            assert [WORDS[number] in hit.passage.text for number in own] == [True]
            shelf.passages[hit.passage.chunk_id] = hit.passage.text
        if content in shelf.documents:
            assert any(hit.passage.document_id == shelf.documents[content] for hit in hits)

    @rule(owner=OWNERS, whose=OWNERS, content=NUMBERS)
    def search_within_documents_of_the_other(self, owner: int, whose: int, content: int) -> None:
        wanted = list(self.shelves[whose].documents.values())
        if wanted:
            answer = self.run(self.shelves[owner].library.search(WORDS[content], document_ids=wanted, limit=100))
            found = {hit.passage.document_id for hit in answer.hits}
            assert found <= set(self.shelves[owner].documents.values())

    @rule(owner=OWNERS, which=IDS)
    def get(self, owner: int, which: int) -> None:
        shelf = self.shelves[owner]
        document = self.attempt(shelf.library.get(self.ids[which]), NOT_FOUND)
        assert (document is not None) == (self.ids[which] in shelf.documents.values())

    @rule(owner=OWNERS, whose=OWNERS)
    def read_passages_that_the_other_was_shown(self, owner: int, whose: int) -> None:
        shelf = self.shelves[owner]
        for chunk_id in list(self.shelves[whose].passages)[:4]:
            own = chunk_id.partition(".")[0] in shelf.documents.values()
            passage = self.attempt(shelf.library.passage(chunk_id), NOT_FOUND)
            if passage is not None:
                assert own
                words = [WORDS[number] for number, known in shelf.documents.items() if known == passage.document_id]
                assert all(word in passage.text for word in words)

    @rule(owner=OWNERS, which=IDS)
    def delete(self, owner: int, which: int) -> None:
        shelf, document_id = self.shelves[owner], self.ids[which]
        was_there = document_id in shelf.documents.values()
        assert (self.attempt(shelf.library.delete(document_id), NOT_FOUND) is not None) == was_there
        shelf.documents = {number: known for number, known in shelf.documents.items() if known != document_id}

    @invariant()
    def each_lists_its_own(self) -> None:
        for shelf in self.shelves:
            assert self.run(shelf.library.ids()) == set(shelf.documents.values())


async def test_no_operation_of_one_tenant_shows_in_the_other(stack: Stack, embed_fn: EmbedFn) -> None:
    TwoTenants.stack, TwoTenants.embed_fn, TwoTenants.loop = stack, embed_fn, asyncio.get_running_loop()
    small = settings(
        max_examples=12,
        stateful_step_count=14,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # to make a failure smaller takes minutes with real processes
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    await asyncio.to_thread(run_state_machine_as_test, TwoTenants, settings=small)
