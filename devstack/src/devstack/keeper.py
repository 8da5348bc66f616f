"""Keeps one unit running: when it dies it is started again, ever more slowly while it keeps dying."""

import asyncio
import contextlib
import time
from collections.abc import Callable

from devstack.errors import DevstackError, StartError
from devstack.process import describe_exit
from devstack.terminal import Report
from devstack.units import Unit

# Seconds before each start in a row; the last one stays. So a hopeless unit costs six starts a minute at most.
PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
# After so many seconds of life the next death begins the row again.
STEADY_S = 20.0


class Keeper:
    """Owns a unit from its first start to its stop."""

    def __init__(self, unit: Unit, report: Report, on_change: Callable[[], None]) -> None:
        self.unit = unit
        self.restarts = 0
        self._report = report
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """The first start: StartError goes to the caller. From then on deaths are healed."""
        await self.unit.start()
        self._on_change()
        self._task = asyncio.create_task(self._keep(), name=f"keep {self.unit.name}")

    async def stop(self) -> None:
        """Stop the unit for good."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self.unit.stop()
        self._on_change()

    async def _keep(self) -> None:
        in_a_row = 0
        while True:
            code = await self.unit.process.wait()
            if time.time() - self.unit.process.started_at > STEADY_S:
                in_a_row = 0
            pause = PAUSES[min(in_a_row, len(PAUSES) - 1)]
            in_a_row += 1
            when = f"in {pause:g} s" if pause else "now"
            self._report.step(f"{self.unit.name} ended with {describe_exit(code)}; starting it again {when}")
            await asyncio.sleep(pause)
            self.restarts += 1
            try:
                began = time.monotonic()
                await self.unit.start()
            except StartError as error:
                self._report.step(f"{error}: {error.log[-1] if error.log else 'it printed nothing'}")
            except (DevstackError, OSError) as error:
                self._report.step(f"{self.unit.name} cannot be started: {error}")
            else:
                self._report.step(f"{self.unit.name} runs again ({time.monotonic() - began:.1f} s)")
                self._on_change()
