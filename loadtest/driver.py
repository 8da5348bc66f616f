"""Drives the generator's process and measures every process while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from typing import Any

import orjson

from loadtest.figures import Round
from loadtest.generator import Plan, Sample
from loadtest.meters import CpuMeter

SETTLE_S = 0.15


class Driver:
    """One generator process with its connections open."""

    def __init__(self, process: asyncio.subprocess.Process, pids: Mapping[str, int]) -> None:
        self._process = process
        self._pids = {**pids, "load generator": process.pid}

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls, plan: Plan, pids: Mapping[str, int]) -> AsyncIterator[Driver]:
        """A generator for `plan`; `pids` are the processes to measure."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "loadtest.generator",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**28,
        )
        driver = cls(process, pids)
        try:
            await driver._say(orjson.dumps(asdict(plan)).decode())
            await driver._expect("ready")
            yield driver
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def round(self) -> Round:
        """Play one round."""
        meter = CpuMeter(self._pids)
        await self._say("round")
        over = await self._expect("over")
        generator_cpu = meter.read()["load generator"]
        others_cpu = meter.read_others()
        # What is still to be written down after the last token belongs to the round's cost.
        await asyncio.sleep(SETTLE_S)
        cpu = {**meter.read(), "load generator": generator_cpu}
        samples = [Sample(**sample) for sample in (await self._expect("samples"))["samples"]]
        await self._expect("ready")
        return Round(over["wall_s"], samples, cpu, others_cpu)

    async def hold(self) -> None:
        """Send every request and leave the streams open."""
        await self._say("hold")
        await self._expect("held")

    async def drop(self) -> None:
        """Close every connection."""
        await self._say("drop")
        await self._expect("dropped")

    async def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def _expect(self, event: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load generator ended ({await self._process.wait()}) before {event!r}")
        found: dict[str, Any] = orjson.loads(line)
        if found["event"] != event:
            raise RuntimeError(f"the load generator said {found['event']!r} instead of {event!r}")
        return found
