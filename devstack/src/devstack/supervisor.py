"""The platform on one machine as a lifecycle: startup, running, shutdown."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

from devstack.errors import DevstackError
from devstack.home import Home, ProcessRecord, State, record
from devstack.keeper import Keeper
from devstack.leftovers import end_leftovers
from devstack.settings import Settings
from devstack.startup import Ready, Startup
from devstack.terminal import Report
from devstack.units import Unit

# In this order, and what stands in one group at the same time: nobody loses a peer that it still needs.
STOP_ORDER = (("edge",), ("agent_fn",), ("tool_fn",), ("embed_fn",), ("model_server", "valkey", "postgres"))


class Supervisor:
    """Starts every process, heals those that die, and stops them in order.

    The caller holds the home's lock. `run` returns after `stop`, and raises DevstackError when the platform cannot
    start; either way nothing that it started runs any more.
    """

    def __init__(
        self, settings: Settings, home: Home, report: Report, *, model: str = "", detached: bool = False
    ) -> None:
        self._settings = settings
        self._home = home
        self._report = report
        self._model = model
        self._keepers: list[Keeper] = []
        self._stop = asyncio.Event()
        previous = home.load()
        self._leftovers = previous.processes
        self._state = State(phase="starting", detached=detached, ports=previous.ports, schema=previous.schema)
        self._state.supervisor = record("supervisor", os.getpid())

    def stop(self) -> None:
        """Ask `run` to come to its end; may be called at any time, from a signal handler too."""
        self._stop.set()

    async def run(self, on_ready: Callable[[Ready], None]) -> None:
        """Start, call `on_ready`, go on until `stop`, and shut down."""
        try:
            ready = await self._unless_stopped(self._startup())
            if ready is not None:
                self._state.phase, self._state.url = "ready", ready.url
                self._home.write_env(ready.url, ready.api_key)
                self._save()
                on_ready(ready)
                await self._stop.wait()
        except DevstackError as error:
            self._state.error = str(error)
            raise
        finally:
            await self._shutdown()

    async def _unless_stopped(self, work: Coroutine[Any, Any, Ready]) -> Ready | None:
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
            return await task if task.done() else None
        except ExceptionGroup as group:
            raise _first(group) from None
        finally:
            stop.cancel()
            task.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)

    async def _startup(self) -> Ready:
        self._save()
        await end_leftovers(self._leftovers)
        return await Startup(self._settings, self._home, self._report, self._state, self._keep, self._model).run()

    async def _keep(self, unit: Unit) -> None:
        keeper = Keeper(unit, self._report, self._save)
        self._keepers.append(keeper)
        await keeper.start()

    async def _shutdown(self) -> None:
        failed = bool(self._state.error)
        if not failed:
            self._state.phase = "stopping"
            self._save()
        for names in STOP_ORDER:
            group = [keeper for keeper in self._keepers if keeper.unit.name.partition("-")[0] in names]
            if group:
                self._report.step("stopping " + ", ".join(keeper.unit.name for keeper in group))
                await asyncio.gather(*(keeper.stop() for keeper in group))
        self._home.env.unlink(missing_ok=True)
        self._state.phase = "failed" if failed else "stopped"
        self._state.supervisor, self._state.url = None, ""
        self._keepers.clear()
        self._save()

    def _save(self) -> None:
        self._state.processes = [_record(keeper) for keeper in self._keepers if keeper.unit.process.running]
        try:
            self._home.save(self._state)
        except OSError as error:  # a full disk, or somebody removed the folder: no reason to stop anything
            self._report.step(f"cannot write {error.filename}: {error.strerror}")


def _record(keeper: Keeper) -> ProcessRecord:
    unit = keeper.unit
    return record(
        unit.name,
        unit.process.pid,
        address=unit.address,
        metrics_address=unit.metrics_address,
        restarts=keeper.restarts,
    )


def _first(group: ExceptionGroup) -> Exception:
    """The error that a person can act on, else whichever came first."""
    found = group.subgroup(DevstackError) or group
    error: Exception = found
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
