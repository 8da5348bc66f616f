"""`down`: stop everything, whatever state it is in."""

import asyncio
import time

import psutil

from devstack.errors import DevstackError
from devstack.home import Home
from devstack.leftovers import end_leftovers
from devstack.postgres import clear_after_crash
from devstack.valkey import SOCKET

STOP_TIMEOUT_S = 60.0


async def down(home: Home) -> int:
    """Stop the supervisor, which stops the rest; where it was killed, end what it left. Nothing running is fine too."""
    started = time.monotonic()
    state = home.load()
    running = home.is_locked()
    if running:
        supervisor = state.supervisor.find() if state.supervisor else None
        if supervisor is not None:
            supervisor.terminate()
        await _wait_unlocked(home, supervisor)
    left = await end_leftovers(state.processes)
    if home.root.exists():
        await clear_after_crash(home.postgres)
        _tidy(home)
    if running or left:
        print(f"stopped ({time.monotonic() - started:.1f} s); the data stays in {home.root}")
    else:
        print("nothing was running")
    return 0


async def _wait_unlocked(home: Home, supervisor: psutil.Process | None) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while home.is_locked():
        if supervisor is None:  # it has only just begun: its record is about to be written
            state = home.load()
            supervisor = state.supervisor.find() if state.supervisor else None
            if supervisor is not None:
                supervisor.terminate()
        if time.monotonic() > deadline:
            if supervisor is None:
                raise DevstackError(
                    f"a process holds {home.root} and does not say who it is; is another command running?"
                )
            supervisor.kill()
        await asyncio.sleep(0.05)


def _tidy(home: Home) -> None:
    """What a killed process could not remove itself."""
    home.env.unlink(missing_ok=True)
    (home.valkey / SOCKET).unlink(missing_ok=True)
    state = home.load()
    if state.phase not in ("stopped", "failed"):
        state.phase, state.supervisor, state.url, state.processes = "stopped", None, "", []
        home.save(state)
