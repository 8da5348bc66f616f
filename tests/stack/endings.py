"""Whether processes that are not our children have ended."""

import asyncio
import time
from collections.abc import Iterable

import psutil


def still_alive(pids: Iterable[int]) -> list[int]:
    """Those that still run. One that only waits to be reaped by init has ended."""
    alive = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                alive.append(pid)
        except psutil.NoSuchProcess:
            continue
    return alive


async def wait_ended(pids: Iterable[int], *, timeout: float = 10.0) -> None:
    """Return when all have ended; AssertionError names those that have not."""
    deadline = time.monotonic() + timeout
    while alive := still_alive(pids):
        assert time.monotonic() < deadline, f"still alive: {[psutil.Process(pid).cmdline() for pid in alive]}"
        await asyncio.sleep(0.02)
