"""Finds what replicas have left behind when they died: charges in Redis, and what is held back for nobody."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

from edge.runs import RunEngine

from . import metrics
from .model import Charge
from .service import Spending
from .store import LeftReservation

LEASES: Final = 2.0
"""A sweep in the time of so many leases. A charge that is in Redis for one was left there, or its replica cannot reach
Postgres."""

HOLD_S: Final = 20.0
"""So often a replica says what it works on."""

LEFT_AFTER: Final = timedelta(seconds=90)
"""What nobody has said to be working on for so long may be free."""

BATCH: Final = 200

_log = logging.getLogger(__name__)


class Sweep:
    """Every replica sweeps; what two of them do at once counts once."""

    def __init__(self, spending: Spending, runs: RunEngine, lease_s: float) -> None:
        self._spending = spending
        self._runs = runs
        self._lease_s = lease_s
        self._held_at = time.monotonic()

    async def go_on(self) -> None:
        """Sweeps until cancelled."""
        while True:
            await asyncio.sleep(LEASES * self._lease_s * random.uniform(0.75, 1.25))  # noqa: S311 - so that replicas take turns
            try:
                await self.sweep()
            except DormouseError as error:
                _log.debug("cannot sweep", extra={"cause": repr(error)})
            except Exception:  # noqa: BLE001 - the edge of a background task
                _log.exception("a sweep of the ledger failed")

    async def sweep(self, *, left_after: timedelta = LEFT_AFTER) -> None:
        """Once. Raises DATABASE_UNAVAILABLE."""
        async for charges in self._spending.outbox.older(self._lease_s):
            await self._spending.store.settle(charges)
            metrics.CHARGES_FOUND.inc(len(charges))
            await self._spending.outbox.drop(charges)
        await self._hold()
        for left in await self._spending.store.left(left_after, BATCH):
            if await self._goes_on(left):
                await self._spending.store.hold([left.id])
            else:
                _log.info("frees what was held back for work that nobody does", extra={"work": left.id})
                nothing = Charge(left.id, left.tenant, "", "", "", datetime.now(UTC), part=left.part)
                await self._spending.store.settle([nothing])
                metrics.RESERVATIONS_FREED.inc()

    async def _hold(self) -> None:
        now = time.monotonic()
        ids: Sequence[str] = [*self._runs.here, *self._spending.held]
        if ids and now - self._held_at >= HOLD_S:
            await self._spending.store.hold(ids)
            self._held_at = now

    async def _goes_on(self, left: LeftReservation) -> bool:
        """Whether somebody works on it, or nobody can tell."""
        try:
            return (await self._runs.get(left.tenant, left.id)).status.is_active
        except DormouseError as error:
            return error.reason != ErrorReason.ERROR_REASON_RUN_NOT_FOUND


@asynccontextmanager
async def sweeping(spending: Spending, runs: RunEngine, lease_s: float) -> AsyncIterator[Sweep]:
    """Sweeps for as long as the block lasts. lease_s: of replicas."""
    sweep = Sweep(spending, runs, lease_s)
    task = asyncio.create_task(sweep.go_on())
    try:
        yield sweep
    finally:
        task.cancel()
        await asyncio.wait([task])
