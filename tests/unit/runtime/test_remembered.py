"""What is remembered, and for how long."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.remembered import Remembered

from agent_fn import errors


class Source:
    """Counts how often it is read."""

    def __init__(self) -> None:
        self.reads = 0
        self.failure: DormouseError | None = None
        self.answered = asyncio.Event()
        self.answered.set()

    async def read(self) -> int:
        self.reads += 1
        await self.answered.wait()
        if self.failure is not None:
            raise self.failure
        return self.reads


@pytest.fixture
def source() -> Source:
    return Source()


def remembering(source: Source) -> Remembered[int]:
    """What is read stays fresh."""
    return Remembered(source.read, fresh_s=10, kept_s=300)


def doubting(source: Source) -> Remembered[int]:
    """What is read is old at once."""
    return Remembered(source.read, fresh_s=-1, kept_s=300)


async def settled(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def test_what_is_fresh_is_not_read_again(source: Source) -> None:
    remembered = remembering(source)
    assert [await remembered.get() for _ in range(3)] == [1, 1, 1]


async def test_those_who_wait_share_one_reading(source: Source) -> None:
    source.answered.clear()
    remembered = remembering(source)
    waiting: list[Awaitable[int]] = [asyncio.create_task(remembered.get()) for _ in range(3)]
    await asyncio.sleep(0)
    source.answered.set()
    assert await asyncio.gather(*waiting) == [1, 1, 1]


async def test_one_that_leaves_does_not_take_the_reading_away(source: Source) -> None:
    source.answered.clear()
    remembered = remembering(source)
    leaving, staying = (asyncio.create_task(remembered.get()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    source.answered.set()
    assert await staying == 1


async def test_what_is_old_still_counts_while_it_is_read_again(source: Source) -> None:
    remembered = doubting(source)
    assert await remembered.get() == 1
    source.answered.clear()
    assert await remembered.get() == 1
    await settled(lambda: source.reads == 2)
    source.answered.set()
    await settled(lambda: not remembered.is_reading)
    assert await remembered.get() == 2


async def test_a_server_that_is_away_does_not_take_what_is_known(source: Source) -> None:
    remembered = doubting(source)
    await remembered.get()
    source.failure = errors.model_unavailable()
    for _ in range(3):
        assert await remembered.get() == 1
        await settled(lambda: not remembered.is_reading)
        assert remembered.has_failed
    source.failure = None
    await remembered.get()
    await settled(lambda: not remembered.is_reading)
    assert not remembered.has_failed


async def test_a_model_that_is_gone_is_said_to_be(source: Source) -> None:
    remembered = doubting(source)
    await remembered.get()
    source.failure = errors.model_not_found("m")
    await remembered.get()
    await settled(lambda: not remembered.is_reading)
    with pytest.raises(DormouseError):
        await remembered.get()


async def test_a_failed_reading_is_tried_again(source: Source) -> None:
    remembered = remembering(source)
    source.failure = errors.model_unavailable()
    with pytest.raises(DormouseError):
        await remembered.get()
    source.failure = None
    assert await remembered.get() == 2
