"""What searches have brought, and the tenant's thresholds that follow from it."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
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
_WAITING: Final = 1000
_GATHER_S: Final = 0.5
_RETUNE_EVERY: Final = 50
_LOOKED_AT: Final = 500
_KEPT_DAYS: Final = 30
_PRUNED: Final = 1000
_RECORD: Final = """
    insert into search_outcomes (tenant_id, complexity, mode, gain, took_ms)
    select %(tenant)s, * from unnest(%(complexities)s::real[], %(modes)s::text[], %(gains)s::real[], %(took_ms)s::int[])
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
        self._waiting: dict[str, list[tuple[Outcome, int]]] = {}
        self._count = 0
        self._kept: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None

    def record(self, tenant: str, outcome: Outcome, took_ms: int) -> None:
        """Keeps it soon, with others. Every so often the thresholds of the tenant are set anew."""
        if self._count >= _WAITING:
            return
        self._count += 1
        self._waiting.setdefault(tenant, []).append((outcome, took_ms))
        if self._task is None or self._task.done():
            # In a context of its own: the call and its deadline may be over by then.
            self._task = asyncio.get_running_loop().create_task(self._work(), context=Context())

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
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _work(self) -> None:
        while self._waiting:
            await asyncio.sleep(_GATHER_S)
            waiting, self._waiting, self._count = self._waiting, {}, 0
            for tenant, outcomes in waiting.items():
                try:
                    await self._keep(tenant, outcomes)
                except database_errors():
                    _logger.info("the outcomes of searches were not kept")

    async def _keep(self, tenant: str, outcomes: Sequence[tuple[Outcome, int]]) -> None:
        values = {
            "tenant": tenant,
            "complexities": [outcome.complexity for outcome, _ in outcomes],
            "modes": [outcome.mode.value for outcome, _ in outcomes],
            "gains": [outcome.gain for outcome, _ in outcomes],
            "took_ms": [took_ms for _, took_ms in outcomes],
        }

        async def work(connection: "Connection") -> None:
            await connection.execute(_RECORD, values)

        async def prune(connection: "Connection") -> None:
            await connection.execute(_PRUNE, (_KEPT_DAYS, _PRUNED))

        await self._transactions.run(tenant, work)
        self._kept[tenant] += len(outcomes)
        if self._kept[tenant] >= _RETUNE_EVERY:
            del self._kept[tenant]
            await self.retune(tenant)
            await self._transactions.run_for_all(prune)
