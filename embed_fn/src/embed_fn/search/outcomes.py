"""What searches have brought, and the tenant's thresholds that follow from it."""

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Final

from embed_fn.postgres import Postgres
from embed_fn.search.complexity import Outcome, Thresholds, retuned
from embed_fn.search.port import Mode
from embed_fn.store.transactions import Transactions, database_errors

if TYPE_CHECKING:
    from dormouse_runtime.postgres import Connection

_logger = logging.getLogger(__name__)
_WAITING: Final = 200
_RETUNE_EVERY: Final = 50
_LOOKED_AT: Final = 500
_KEPT_DAYS: Final = 30
_PRUNED: Final = 1000
_RECORD: Final = """
    insert into search_outcomes (tenant_id, complexity, mode, gain, took_ms)
    values (%(tenant)s, %(complexity)s, %(mode)s, %(gain)s, %(took_ms)s)
"""
_LATEST: Final = """
    select complexity, mode, gain from search_outcomes where tenant_id = %(tenant)s
    order by number desc limit %(most)s
"""
_THRESHOLDS: Final = "select balanced_from, deep_from from libraries where tenant_id = %(tenant)s for update"
_RETUNE: Final = """
    update libraries set balanced_from = %(balanced)s, deep_from = %(deep)s where tenant_id = %(tenant)s
"""
_PRUNE: Final = "select prune_search_outcomes(now() - make_interval(days => %s), %s)"


class Outcomes:
    """Kept behind the answers: nobody waits for it, and what cannot be kept is forgotten."""

    def __init__(self, postgres: Postgres) -> None:
        self._transactions = Transactions(postgres)
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts: Counter[str] = Counter()

    def record(self, tenant: str, outcome: Outcome, took_ms: int) -> None:
        """Keeps it. Every so often the thresholds of the tenant are set anew."""
        if len(self._tasks) >= _WAITING:
            return
        keep = self._keep(tenant, outcome, took_ms)
        task = asyncio.get_running_loop().create_task(keep, context=Context())  # outlives the call
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def retune(self, tenant: str) -> Thresholds:
        """Sets the thresholds by the latest outcomes. Errors: DATABASE_UNAVAILABLE."""

        async def work(connection: "Connection") -> Thresholds:
            values = {"tenant": tenant, "most": _LOOKED_AT}
            rows = await (await connection.execute(_LATEST, values)).fetchall()
            row = await (await connection.execute(_THRESHOLDS, values)).fetchone()
            if row is None:
                return Thresholds()
            old = Thresholds(row["balanced_from"], row["deep_from"])
            new = retuned(old, [Outcome(each["complexity"], Mode(each["mode"]), each["gain"]) for each in rows])
            if new != old:
                await connection.execute(_RETUNE, values | {"balanced": new.balanced_from, "deep": new.deep_from})
            return new

        return await self._transactions.run(tenant, work)

    async def aclose(self) -> None:
        """Gives up what is not kept yet."""
        for task in list(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _keep(self, tenant: str, outcome: Outcome, took_ms: int) -> None:
        values = {
            "tenant": tenant,
            "complexity": outcome.complexity,
            "mode": outcome.mode.value,
            "gain": outcome.gain,
            "took_ms": took_ms,
        }

        async def work(connection: "Connection") -> None:
            await connection.execute(_RECORD, values)

        async def prune(connection: "Connection") -> None:
            await connection.execute(_PRUNE, (_KEPT_DAYS, _PRUNED))

        try:
            await self._transactions.run(tenant, work)
            self._counts[tenant] += 1
            if self._counts[tenant] % _RETUNE_EVERY == 0:
                await self.retune(tenant)
                await self._transactions.run_for_all(prune)
        except database_errors():
            _logger.info("the outcome of a search was not kept")
