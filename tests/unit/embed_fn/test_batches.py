"""Batches one after the other: whose trace they are in, and who is told what when one fails."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import pytest
from dormouse_runtime.errors import DormouseError
from embed_fn.embedding.batches import Batches, BatchLimits
from embed_fn.embedding.port import Item
from embed_fn.embedding.queue import Waiting
from embed_fn.errors import model_unavailable

ASKED: ContextVar[str] = ContextVar("asked", default="nobody")


class Model:
    """Waits for `go`; `seen` are the batches with the value of ASKED in each."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, list[str]]] = []
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.failure: Exception | None = None

    async def run(self, batch: Sequence[Waiting]) -> list[Item]:
        self.seen.append((ASKED.get(), [waiting.text for waiting in batch]))
        self.begun.set()
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        return [Item(token_count=len(waiting.text)) for waiting in batch]


async def asking(batches: Batches, who: str, *texts: str) -> list[int]:
    ASKED.set(who)
    return [item.token_count for item in await batches.embed(who, texts)]


async def test_a_batch_is_in_the_trace_of_the_call_that_comes_first_in_it() -> None:
    model = Model()
    batches = Batches(model.run, BatchLimits(10, 1000))
    first = asyncio.create_task(asking(batches, "a", "x"))
    await model.begun.wait()
    others = [asyncio.create_task(asking(batches, who, who * 2, who * 3)) for who in "bc"]
    await asyncio.sleep(0)
    model.go.set()
    assert await asyncio.gather(first, *others) == [[1], [2, 3], [2, 3]]
    assert model.seen == [("a", ["x"]), ("b", ["bb", "cc", "bbb", "ccc"])]


async def test_a_batch_that_fails_fails_its_calls_and_not_the_next_ones() -> None:
    model = Model()
    model.failure = model_unavailable()
    batches = Batches(model.run, BatchLimits(2, 1000))
    calls = [asyncio.create_task(asking(batches, who, "x", "y")) for who in "ab"]
    await model.begun.wait()
    model.go.set()
    failed = await asyncio.gather(*calls, return_exceptions=True)
    assert failed == [model.failure, model.failure]
    model.failure = None
    assert await asking(batches, "c", "z") == [1]


async def test_closing_tells_those_who_wait() -> None:
    model = Model()
    batches = Batches(model.run, BatchLimits(1, 1000))
    call = asyncio.create_task(asking(batches, "a", "x", "y"))
    await model.begun.wait()
    await batches.aclose()
    with pytest.raises(DormouseError, match="shutting down"):
        await call


async def test_a_call_that_leaves_takes_only_its_own_texts_out_of_a_batch() -> None:
    model = Model()
    batches = Batches(model.run, BatchLimits(10, 1000))
    calls = [asyncio.create_task(asking(batches, who, who)) for who in "ab"]
    await model.begun.wait()
    calls[0].cancel()
    await asyncio.wait([calls[0]])
    model.go.set()
    assert await calls[1] == [1]
    assert calls[0].cancelled()
