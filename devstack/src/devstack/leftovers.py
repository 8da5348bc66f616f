"""Ends what an earlier run left behind when its supervisor was killed."""

import asyncio
import time
from collections.abc import Iterable

import psutil

from devstack.home import ProcessRecord

# They were told to end when their supervisor died; Postgres writes a checkpoint first.
PATIENCE_S = 5.0


async def end_leftovers(records: Iterable[ProcessRecord]) -> list[str]:
    """Wait for the recorded processes to end, kill those that do not, and return the names of all that still ran."""
    processes = {record.name: process for record in records if (process := record.find()) is not None}
    deadline = time.monotonic() + PATIENCE_S
    alive = list(processes.values())
    while alive := [process for process in alive if _runs(process)]:
        if time.monotonic() > deadline:
            for process in alive:
                process.kill()
        await asyncio.sleep(0.05)
    return list(processes)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
