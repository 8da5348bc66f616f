"""What several replicas give out together: exactly the limit, and hardly more when Redis goes away in the middle."""

import asyncio
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from devstack.valkey import Valkey
from edge.limits.counters import Counters, open_counters
from edge.limits.link import LimitsLink
from edge.limits.local_share import LocalShare
from edge.limits.news import CHANNEL
from edge.limits.rates import Rate
from edge.limits.windows import Places, Window
from redis.asyncio import Redis

from tests.integration.limits.conftest import folder_of_valkey

LEASE_S = 0.2
REPLICAS = 4


@pytest.fixture
async def mortal() -> AsyncIterator[Valkey]:
    """A Valkey that a test may kill; it forgets everything then."""
    folder = folder_of_valkey()
    valkey = Valkey(folder / "v", "secret", log=folder / "valkey.log", persist=False)
    try:
        await valkey.start()
        yield valkey
    finally:
        if valkey.process.running:
            await valkey.process.kill()
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def replicas(valkey: Valkey, count: int = REPLICAS) -> AsyncIterator[list[Counters]]:
    def peers(number: int) -> Callable[[], tuple[int, int]]:
        return lambda: (number, count)

    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_counters(valkey.url, peers(number), LEASE_S))
            for number in range(count)
        ]


def windows_of(name: str, *rates: Rate) -> list[Window]:
    return [Window(f"dm:limit:{{{name}}}:{rate.period_s}", rate, "key") for rate in rates]


async def asked(counters: Counters, windows: Sequence[Window]) -> bool:
    return (await counters.take(windows, [window.rate.increment_us for window in windows])).admitted


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.02)


async def test_exactly_the_limit_is_admitted_however_many_hammer(valkey: Valkey) -> None:
    keys = [windows_of(f"hammer{number}", Rate(20, 60 * 60), Rate(50, 86400)) for number in range(50)]

    async def client(counters: Counters, key: int, count: Counter[int]) -> None:
        for _ in range(10):
            answer = await asked(counters, keys[key])
            count[key] += answer

    admitted: Counter[int] = Counter()
    async with replicas(valkey) as all_of_them, asyncio.TaskGroup() as tasks:
        for counters in all_of_them:
            for key in range(len(keys)):
                for _ in range(2):
                    tasks.create_task(client(counters, key, admitted))
    assert admitted == dict.fromkeys(range(50), 20)


async def test_a_refused_request_takes_nothing_from_any_window(valkey: Valkey) -> None:
    wide, narrow = windows_of("nothing", Rate(100, 86400), Rate(3, 3600))
    async with replicas(valkey) as all_of_them:
        asks = [asked(counters, [wide, narrow]) for counters in all_of_them for _ in range(20)]
        assert sum(await asyncio.gather(*asks)) == 3
        verdict = await all_of_them[0].take([wide], [0])
        assert wide.left(verdict.used_us[0]) == 97


async def test_a_redis_that_was_started_anew_learns_the_scripts_again(valkey: Valkey) -> None:
    (window,) = windows_of("flush", Rate(10, 3600))
    async with replicas(valkey, 1) as (counters,), Redis.from_url(valkey.url) as redis:
        assert await asked(counters, [window])
        await redis.script_flush()
        assert await asked(counters, [window])
        assert not counters.is_away
        assert window.left((await counters.take([window], [0])).used_us[0]) == 8


@pytest.mark.parametrize("forgets", [True, False])
async def test_redis_dies_in_the_middle_and_hardly_more_than_the_limit_is_admitted(
    mortal: Valkey, forgets: bool
) -> None:
    """Killed, which loses everything, or stopped for a while."""
    limit = 100
    keys = [windows_of(f"killed{number}", Rate(limit, 86400)) for number in range(20)]
    admitted: Counter[int] = Counter()

    async def hammer(all_of_them: Sequence[Counters], asks: int) -> None:
        for _ in range(asks):
            answers = await asyncio.gather(*(asked(counters, windows) for counters in all_of_them for windows in keys))
            for number, answer in enumerate(answers):
                admitted[number % len(keys)] += answer

    async with replicas(mortal) as all_of_them:
        await hammer(all_of_them, 10)
        assert set(admitted.values()) == {40}
        if forgets:
            await mortal.process.kill()
        else:
            mortal.process.send(signal.SIGSTOP)
        await hammer(all_of_them, 5)
        assert all(counters.is_away for counters in all_of_them)
        assert set(admitted.values()) == {60}
        await hammer(all_of_them, 20)
        assert set(admitted.values()) == {limit}
        if forgets:
            await mortal.start()
        else:
            mortal.process.send(signal.SIGCONT)
        await until(lambda: not any(counters.is_away for counters in all_of_them))
        await hammer(all_of_them, 10)
    assert max(admitted.values()) <= limit * 1.1


def knows(counters: Counters, window: Window) -> int:
    """When the window is used up, as far as this replica has heard."""
    known = counters._local._seen.get(window.key)
    return known[0] if known else 0


async def test_a_replica_that_never_saw_a_key_knows_from_the_others_how_far_it_was(mortal: Valkey) -> None:
    """A client that was served by one replica alone moves on to all of them when Redis is gone."""
    (window,) = windows_of("moves", Rate(100, 86400))
    async with replicas(mortal) as all_of_them:
        async with Redis.from_url(mortal.url) as redis, asyncio.timeout(5):
            while (await redis.pubsub_numsub(CHANNEL))[0][1] < REPLICAS:
                await asyncio.sleep(0.02)
        for _ in range(60):
            assert await asked(all_of_them[0], [window])
        level = all_of_them[0]._local._seen[window.key][0] - window.rate.increment_us // 2
        await until(lambda: all(knows(counters, window) > level for counters in all_of_them))
        await mortal.process.kill()
        more = [await asked(counters, [window]) for _ in range(50) for counters in all_of_them]
        assert sum(more) == 40


async def test_a_redis_that_hangs_delays_nobody_twice(mortal: Valkey) -> None:
    (window,) = windows_of("hangs", Rate(1000, 86400))
    async with replicas(mortal, 1) as (counters,):
        await asked(counters, [window])
        mortal.process.send(signal.SIGSTOP)
        await asyncio.gather(*(asked(counters, [window]) for _ in range(10)))
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(100):
            assert await asked(counters, [window])
        assert loop.time() - began < 0.3
        mortal.process.send(signal.SIGCONT)


async def held(counters: Counters, places: Sequence[Places], run_id: str) -> bool:
    return (await counters.take([], [], places, run_id)).admitted


async def test_places_are_held_and_given_free(valkey: Valkey) -> None:
    places = [Places("dm:places:{p1}:user", 3, "user"), Places("dm:places:{p1}:tenant", 5, "tenant")]
    async with replicas(valkey) as all_of_them:
        asks = [held(counters, places, f"r{number}.{each}") for number, counters in enumerate(all_of_them)
                for each in range(4)]  # fmt: skip
        answers = await asyncio.gather(*asks)
        assert sum(answers) == 3
        taken = answers.index(True)
        await all_of_them[taken // 4].release([each.key for each in places], f"r{taken // 4}.{taken % 4}")
        assert await held(all_of_them[0], places, "next")
        assert await held(all_of_them[1], places, "next")  # the same run once more takes no other place
        assert not await held(all_of_them[2], places, "other")


async def test_places_are_kept_for_as_long_as_a_run_goes_on_and_free_soon_after_its_replica_has_died(
    valkey: Valkey,
) -> None:
    places = [Places("dm:places:{p2}:user", 1, "user")]
    async with replicas(valkey, 1) as (counters,):
        assert await held(counters, places, "long")
        await asyncio.sleep(LEASE_S * 5)
        assert not await held(counters, places, "other")
        dead = Counters(LimitsLink(valkey.url), LocalShare(lambda: (0, 1)), LEASE_S)  # renews nothing
        await counters.release(["dm:places:{p2}:user"], "long")
        assert await held(dead, places, "left")
        async with asyncio.timeout(5):
            while not await held(counters, places, "other"):
                await asyncio.sleep(0.05)
        await dead.close()


async def test_a_run_that_is_taken_over_keeps_its_place(valkey: Valkey) -> None:
    places = [Places("dm:places:{p3}:user", 1, "user"), Places("dm:places:{p3}:key", 1, "key")]
    async with replicas(valkey, 1) as (counters,):
        dead = Counters(LimitsLink(valkey.url), LocalShare(lambda: (0, 1)), LEASE_S)
        assert await held(dead, places[:1], "left")
        counters.adopt([each.key for each in places], "left")
        await asyncio.sleep(LEASE_S * 5)
        assert not await held(counters, places[:1], "other")
        assert await held(counters, places[1:], "other")  # of which the run had none
        await dead.close()
