"""Places for ingestions: bounded, fair between tenants, none lost."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from embed_fn.ingestion.places import Place, Places


@contextmanager
def waiting(*tasks: asyncio.Task[Place]) -> Iterator[None]:
    """They end with the test."""
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_tenant_that_floods_leaves_a_place_for_the_next_one() -> None:
    places = Places(4)
    flood = [asyncio.create_task(places.take("loud")) for _ in range(10)]
    with waiting(*flood):
        await settled()
        assert sum(task.done() for task in flood) == 3
        async with asyncio.timeout(1):
            with await places.take("quiet"):
                pass
        await settled()
        assert sum(task.done() for task in flood) == 3


async def test_the_tenant_with_fewest_goes_first_and_then_who_has_waited_longest() -> None:
    places = Places(2)
    held = [await places.take("a"), await places.take("b")]
    first = asyncio.create_task(places.take("a"))
    await settled()
    second = asyncio.create_task(places.take("c"))
    third = asyncio.create_task(places.take("d"))
    with waiting(first, second, third):
        await settled()
        held[1].__exit__(None, None, None)
        await settled()
        assert [task.done() for task in (first, second, third)] == [False, True, False]
        held[0].__exit__(None, None, None)
        await settled()
        assert [task.done() for task in (first, second, third)] == [True, True, False]


async def test_whoever_leaves_while_waiting_or_in_the_moment_of_his_turn_takes_no_place_along() -> None:
    places = Places(1)
    with await places.take("a"):
        gone = [asyncio.create_task(places.take("b")) for _ in range(3)]
        await settled()
        gone[0].cancel()
        await settled()
    # The second has just been given the place, and does not know it yet.
    gone[1].cancel()
    gone[2].cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    async with asyncio.timeout(1):
        with await places.take("c"):
            pass
