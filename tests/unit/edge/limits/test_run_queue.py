"""The queue in front of runs: what is admitted, in which order, and what is refused at once."""

import asyncio
from collections.abc import Callable

import pytest
from dormouse_runtime.errors import DormouseError
from edge.errors import ApiError
from edge.limits.plans import Plan
from edge.limits.run_queue import RunQueue

FREE = Plan(name="free", priority=1, queue_share=0.5)
PAID = Plan(name="paid", priority=5)


def quiet(position: int) -> None:
    """Nobody listens."""


def waits(queue: RunQueue, run_id: str, plan: Plan, tell: Callable[[int], None] = quiet) -> asyncio.Task[None]:
    queue.admit(run_id, plan)
    return asyncio.create_task(queue.enter(run_id, tell))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_so_many_run_at_once_and_the_next_one_follows_when_one_has_ended() -> None:
    queue = RunQueue(2, 10)
    first, second, third = (waits(queue, name, PAID) for name in "abc")
    await settle()
    assert (first.done(), second.done(), third.done(), queue.executed, queue.waiting) == (True, True, False, 2, 1)
    queue.leave("a")
    await settle()
    assert (third.done(), queue.executed, queue.waiting) == (True, 2, 0)


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_again() -> None:
    queue = RunQueue(1, 2)
    tasks = [waits(queue, name, PAID) for name in "abc"]
    await settle()
    for ask in (queue.require_room, lambda plan: queue.admit("d", plan)):
        with pytest.raises(ApiError) as refused:
            ask(PAID)
        assert (refused.value.status, refused.value.code) == (503, "overloaded")
        assert int(refused.value.headers["retry-after-ms"]) >= 1000
        assert refused.value.headers["x-should-retry"] == "true"
    for task in tasks[1:]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (queue.executed, queue.waiting) == (1, 0)


async def test_those_that_were_admitted_and_have_not_come_yet_count() -> None:
    queue = RunQueue(1, 1)
    queue.admit("a", PAID)
    queue.admit("b", PAID)
    with pytest.raises(ApiError):
        queue.admit("c", PAID)
    queue.leave("b")  # it does not come
    queue.admit("c", PAID)


async def test_a_plan_fills_no_more_than_its_part_and_goes_behind_those_with_a_higher_priority() -> None:
    queue = RunQueue(1, 4)
    order: list[str] = []

    async def run(name: str, plan: Plan) -> None:
        queue.admit(name, plan)
        await queue.enter(name, quiet)
        order.append(name)

    tasks = [asyncio.create_task(run(name, plan)) for name, plan in (("x", PAID), ("f1", FREE), ("f2", FREE))]
    await settle()
    with pytest.raises(ApiError):
        queue.require_room(FREE)
    tasks += [asyncio.create_task(run(name, PAID)) for name in ("p1", "p2")]
    await settle()
    for name in ("x", "p1", "p2", "f1", "f2"):
        await settle()
        assert order[-1] == name
        queue.leave(name)
    await asyncio.gather(*tasks)
    assert (queue.executed, queue.waiting) == (0, 0)


async def test_a_run_hears_of_its_position() -> None:
    queue = RunQueue(1, 5)
    told: list[int] = []
    tasks = [waits(queue, "a", PAID), waits(queue, "b", PAID), waits(queue, "c", PAID, told.append)]
    await settle()
    assert told == [2]
    queue.leave("a")
    queue.leave("b")
    await asyncio.gather(*tasks)


async def test_a_run_that_is_cancelled_while_it_waits_leaves_no_trace() -> None:
    queue = RunQueue(1, 5)
    tasks = [waits(queue, name, PAID) for name in "abc"]
    await settle()
    tasks[1].cancel()
    await settle()
    queue.leave("a")
    await settle()
    assert (tasks[2].done(), queue.executed, queue.waiting) == (True, 1, 0)


async def test_a_run_that_is_cancelled_just_as_its_turn_comes_gives_it_to_the_next() -> None:
    queue = RunQueue(1, 5)
    tasks = [waits(queue, name, PAID) for name in "abc"]
    await settle()
    queue.leave("a")
    tasks[1].cancel()
    await asyncio.gather(*tasks[1:], return_exceptions=True)
    assert (tasks[1].cancelled(), tasks[2].done(), queue.executed, queue.waiting) == (True, True, 1, 0)


async def test_nobody_waits_longer_than_is_allowed() -> None:
    queue = RunQueue(1, 5, 0.02)
    queue._run_s = 0.001
    tasks = [waits(queue, name, PAID) for name in "ab"]
    with pytest.raises(DormouseError, match="busy"):
        await asyncio.gather(*tasks)
    assert (queue.executed, queue.waiting) == (1, 0)


async def test_who_would_have_to_wait_too_long_is_refused() -> None:
    now = 0.0
    queue = RunQueue(2, 100, 10, clock=lambda: now)
    for number in range(60):  # runs of 8 s
        await queue.enter(f"r{number}", quiet)
        now += 8
        queue.leave(f"r{number}")
    tasks = [waits(queue, f"w{number}", PAID) for number in range(4)]
    await settle()
    with pytest.raises(ApiError) as refused:  # two before it: 12 s
        queue.require_room(PAID)
    assert 11 <= float(refused.value.headers["retry-after-ms"]) / 1000 <= 13
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_runs_that_were_not_admitted_here_are_never_refused() -> None:
    queue = RunQueue(1, 0)
    await queue.enter("a", quiet)
    taken_over = asyncio.create_task(queue.enter("b", quiet))
    await settle()
    assert queue.waiting == 1
    queue.leave("a")
    await taken_over


async def test_without_a_capacity_nothing_is_counted() -> None:
    queue = RunQueue()
    for number in range(100):
        queue.admit(str(number), FREE)
        await queue.enter(str(number), quiet)
    assert queue.executed == 0
