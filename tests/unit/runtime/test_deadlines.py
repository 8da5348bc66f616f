"""A deadline downstream is never later than the one upstream."""

import asyncio
import contextvars

import pytest
from dormouse_runtime import deadlines


def test_there_is_no_deadline_outside_of_a_call() -> None:
    assert deadlines.remaining_s() is None
    assert deadlines.cap(7.0) == 7.0


async def test_a_call_downstream_gets_no_more_than_is_left() -> None:
    async def call() -> None:
        deadlines.bind_deadline(0.5)
        assert deadlines.cap(0.1) == 0.1
        assert deadlines.cap(10) == pytest.approx(0.5, abs=0.1)
        deadlines.bind_deadline(0.0)
        assert deadlines.remaining_s() == 0.0
        assert deadlines.cap(10) == 0.0

    await asyncio.create_task(call())
    assert deadlines.remaining_s() is None


async def test_a_task_in_an_empty_context_outlives_its_call() -> None:
    async def left() -> float | None:
        return deadlines.remaining_s()

    async def call() -> tuple[float | None, float | None]:
        deadlines.bind_deadline(1.0)
        child = asyncio.create_task(left())
        detached = asyncio.create_task(left(), context=contextvars.Context())
        return await child, await detached

    inherited, own = await asyncio.create_task(call())
    assert inherited == pytest.approx(1.0, abs=0.1)
    assert own is None
