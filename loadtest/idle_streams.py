"""Measures what an open stream costs in memory while its model says nothing yet."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from loadtest.driver import Driver
from loadtest.generator import Plan
from loadtest.meters import resident_bytes

FOREVER_MS = 3_600_000
TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class IdleStreams:
    """KB of resident memory per open stream by process, and how long the model server saw the last one leave later."""

    streams: int
    kb_per_stream: Mapping[str, float]
    last_abort_s: float


async def measure_idle_streams(plan: Plan, pids: Mapping[str, int], model_url: str) -> IdleStreams:
    """Open `plan.streams` streams on a model that never answers, look at `pids`, and close them again."""
    async with aiohttp.ClientSession(model_url) as http:
        before_config = await _json(http, "GET", "/_sim/config")
        await _json(http, "PUT", "/_sim/config", {"ttft_ms": FOREVER_MS})
        await _json(http, "DELETE", "/_sim/requests")
        try:
            async with Driver.started(plan, pids) as driver:
                before = {name: resident_bytes(pid) for name, pid in pids.items()}
                await driver.hold()
                await _reached(http, "prefilling", plan.streams)
                await asyncio.sleep(1)
                after = {name: resident_bytes(pid) for name, pid in pids.items()}
                loop = asyncio.get_running_loop()
                dropped = loop.time()
                await driver.drop()
                await _reached(http, "aborted", plan.streams)
                last_abort_s = loop.time() - dropped
        finally:
            await _json(http, "PUT", "/_sim/config", before_config)
    grown = {name: (after[name] - before[name]) / 1024 / plan.streams for name in pids}
    return IdleStreams(plan.streams, grown, last_abort_s)


async def _reached(http: aiohttp.ClientSession, state: str, count: int) -> None:
    answer = await _json(http, "GET", f"/_sim/wait?state={state}&count={count}&timeout_s={TIMEOUT_S}")
    if len(answer["requests"]) < count:
        raise RuntimeError(f"only {len(answer['requests'])} of {count} streams were {state} after {TIMEOUT_S} s")


async def _json(http: aiohttp.ClientSession, method: str, path: str, body: object = None) -> dict[str, list[object]]:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S + 10)
    async with http.request(method, path, json=body, timeout=timeout) as response:
        answer: dict[str, list[object]] = await response.json()
        return answer
