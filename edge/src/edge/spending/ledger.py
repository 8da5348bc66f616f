"""Writes charges to Postgres behind the runs that they are for, many in one statement."""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import psycopg
from dormouse_runtime.errors import DormouseError

from . import metrics
from .model import Charge
from .outbox import Outbox
from .store import SpendingStore

LINGER_S: Final = 0.05
"""So long a charge waits for others, and for its run's end to be in Redis."""

BATCH: Final = 200
WAITING_LIMIT: Final = 20_000
"""So many wait in memory while Postgres is away; of more, only Redis knows."""

PAUSE_S: Final = 1.0
FLUSH_S: Final = 2.0

_log = logging.getLogger(__name__)


class Ledger:
    """The one writer of a replica. `outbox`: what is written is dropped there."""

    def __init__(self, store: SpendingStore, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox
        self._waiting: OrderedDict[tuple[str, str], Charge] = OrderedDict()
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, charge: Charge) -> None:
        """Has it written down soon. A later charge of the same work takes an earlier one's place."""
        key = (charge.tenant, charge.id)
        if not charge.uses and (known := self._waiting.get(key)) is not None and known.uses:
            return  # it ended after all, and that frees what was held back, too
        self._waiting[key] = charge
        if len(self._waiting) > WAITING_LIMIT:
            self._waiting.popitem(last=False)
            metrics.CHARGES_DROPPED.inc()
        metrics.CHARGES_WAITING.set(len(self._waiting))
        self._idle.clear()
        self._work.set()

    async def write(self) -> None:
        """Writes until cancelled."""
        while True:
            await self._work.wait()
            await asyncio.sleep(LINGER_S)
            self._work.clear()
            while self._waiting:
                if not await self._write_some():
                    await asyncio.sleep(PAUSE_S)
            self._idle.set()

    async def flush(self, timeout_s: float = FLUSH_S) -> None:
        """Waits until everything is written, or the time is over: Redis has the rest."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()

    async def _settle(self, batch: Sequence[Charge]) -> None:
        """One that Postgres refuses keeps no other from being written."""
        try:
            await self._store.settle(batch)
        except psycopg.Error:
            if len(batch) == 1:
                _log.exception("a charge cannot be written down", extra={"work": batch[0].id})
                metrics.CHARGES_DROPPED.inc()
                return
            for charge in batch:
                await self._settle([charge])

    async def _write_some(self) -> bool:
        batch = [charge for charge, _ in zip(self._waiting.values(), range(BATCH), strict=False)]
        try:
            await self._settle(batch)
        except DormouseError as error:
            _log.debug("cannot write charges down", extra={"cause": repr(error)})
            return False
        for charge in batch:
            if self._waiting.get((charge.tenant, charge.id)) is charge:
                del self._waiting[charge.tenant, charge.id]
        metrics.CHARGES_WAITING.set(len(self._waiting))
        metrics.CHARGES.inc(len(batch))
        await self._outbox.drop(batch)
        return True
