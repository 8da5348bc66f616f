"""The next batch: fair between tenants, in order within one, without what was withdrawn."""

import asyncio
from collections.abc import Sequence

from embed_fn.embedding.queue import FairQueue, Waiting


def waiting(text: str, size: int = 1) -> Waiting:
    return Waiting(text, size, asyncio.get_running_loop().create_future())


def texts(batch: Sequence[Waiting]) -> str:
    return "".join(one.text for one in batch)


async def test_tenants_take_turns_however_much_one_has() -> None:
    queue = FairQueue()
    for _ in range(10):
        queue.put("flood", waiting("f"))
    for _ in range(3):
        queue.put("other", waiting("o"))
    assert texts(queue.take(6, 100)) == "fofofo"
    assert texts(queue.take(100, 100)) == "fffffff"


async def test_a_turn_costs_what_it_is_long() -> None:
    queue = FairQueue()
    for _ in range(4):
        queue.put("long", waiting("L", 10))
    for _ in range(20):
        queue.put("short", waiting("s", 1))
    assert sorted(texts(queue.take(100, 40))) == sorted("LL" + "s" * 20)


async def test_who_comes_later_has_no_credit_for_the_time_before() -> None:
    queue = FairQueue()
    for _ in range(50):
        queue.put("early", waiting("e"))
    queue.take(40, 100)
    for _ in range(10):
        queue.put("late", waiting("l"))
    assert texts(queue.take(10, 100)).count("l") in (5, 6)


async def test_a_text_larger_than_a_batch_goes_alone() -> None:
    queue = FairQueue()
    for size in (50, 3, 3):
        queue.put("t", waiting(str(size), size))
    assert [texts(queue.take(10, 5)) for _ in range(4)] == ["50", "3", "3", ""]


async def test_what_was_withdrawn_takes_no_place() -> None:
    queue = FairQueue()
    all_of_them = [waiting(str(number), 5) for number in range(6)]
    for one in all_of_them:
        queue.put("t", one)
    for one in all_of_them[:4]:
        one.promise.cancel()
    assert texts(queue.take(2, 10)) == "45"
    assert queue.size == 0
