"""What the chaos tests share: random moments that can be had again, tasks that do not outlive a test, a time limit."""

import asyncio
import functools
import inspect
import os
import random
import secrets
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import pytest

SEED = "DORMOUSE_TEST_SEED"
LIMIT_S = 60.0
"""No test takes longer: a defect may well show as an answer that never ends."""

T = TypeVar("T")


class Tasks:
    """What a test does beside itself."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts it. If it has not ended with the test it is cancelled; what it raises is the test's to look at."""
        task = asyncio.create_task(work)
        self._tasks.append(task)
        return task

    async def end(self) -> None:
        """Leaves nothing behind."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    """Tasks that end with the test."""
    tasks = Tasks()
    yield tasks
    await tasks.end()


@pytest.fixture
def dice() -> random.Random:
    """A source of random moments. What it was seeded with is printed, and can be given again in DORMOUSE_TEST_SEED."""
    seed = os.environ.get(SEED) or secrets.token_hex(4)
    print(f"{SEED}={seed}")
    return random.Random(seed)


def moments(dice: random.Random, count: int, until_s: float) -> list[float]:
    """Random moments between 0 and `until_s`, one in each of `count` equal parts of it, in random order."""
    found = [(number + dice.random()) / count * until_s for number in range(count)]
    dice.shuffle(found)
    return found


def pytest_itemcollected(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        item.obj = _limited(item.obj)


def _limited(test: Any) -> Any:
    @functools.wraps(test)
    async def limited(*args: Any, **fixtures: Any) -> None:
        async with asyncio.timeout(LIMIT_S):
            await test(*args, **fixtures)

    return limited
