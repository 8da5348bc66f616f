"""What asking for a request's limits costs: the script in Redis, by the edge's own link."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from edge.limits.link import LimitsLink
from edge.limits.rates import Rate
from edge.limits.scripts import TAKE
from redis.asyncio import Redis

from loadtest.figures import percentile

SUBJECTS = ("key", "user", "tenant")
RATES = (Rate(600_000, 60), Rate(36_000_000, 3600))
WARM_UP = 500


@dataclass(frozen=True, slots=True)
class Checks:
    """Times of questions about six windows, in ms: until the answer, and what the script itself takes in Redis."""

    at_once: int
    asked: int
    p50_ms: float
    p99_ms: float
    script_ms: float
    per_s: float


async def measure_checks(redis_url: str, at_once: int, asked: int) -> Checks:
    """So many questions, so many of them at any moment."""
    async with _link(redis_url) as (link, redis):
        await _ask(link, at_once, WARM_UP)
        before = await _spent(redis)
        began = time.perf_counter()
        times = await _ask(link, at_once, asked)
        elapsed = time.perf_counter() - began
        after = await _spent(redis)
    return Checks(
        at_once,
        asked,
        percentile(times, 0.5) * 1000,
        percentile(times, 0.99) * 1000,
        (after[1] - before[1]) / (after[0] - before[0]) / 1000,
        asked / elapsed,
    )


@asynccontextmanager
async def _link(redis_url: str) -> AsyncIterator[tuple[LimitsLink, Redis]]:
    link = LimitsLink(redis_url)
    async with Redis.from_url(redis_url) as redis:
        try:
            yield link, redis
        finally:
            await link.close()


async def _ask(link: LimitsLink, at_once: int, count: int) -> list[float]:
    times: list[float] = []

    async def client(number: int) -> None:
        tag = f"{{load-{number}}}"
        keys = [f"dm:limit:{tag}:{subject}:models:{rate.period_s}" for subject in SUBJECTS for rate in RATES]
        arguments: list[str | int] = [len(keys), "", 0]
        for _ in SUBJECTS:
            for rate in RATES:
                arguments += (rate.increment_us, rate.capacity_us)
        for _ in range(count // at_once):
            began = time.perf_counter()
            await link.run(TAKE, keys, arguments)
            times.append(time.perf_counter() - began)

    await asyncio.gather(*(client(number) for number in range(at_once)))
    return times


async def _spent(redis: Redis) -> tuple[int, int]:
    """How often scripts were called, and the microseconds that they took."""
    calls = (await redis.info("commandstats")).get("cmdstat_evalsha", {})
    return int(calls.get("calls", 0)), int(calls.get("usec", 0))
