"""Whether a budget applies to who calls: known in memory, so that those without one wait for no database."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

from edge.auth.caller import Caller
from edge.database import Database

from .model import BudgetKind

REFRESH_S: Final = 2.0
"""After so long a tenant's budgets are asked for again, while what is known still counts."""

BELIEVED_S: Final = 8.0
"""After so long they are asked for before anything starts: a new budget counts everywhere within this time."""

STALE_S: Final = 3600.0
"""So long a tenant that was known to have none is taken to have none while Postgres cannot be asked."""

PAUSE_S: Final = 1.0
"""So long nobody waits for Postgres on behalf of such a tenant after it has failed to answer."""

CACHE_LIMIT: Final = 20_000
ANSWER_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Known:
    subjects: frozenset[tuple[str, str]]
    asked_at: float

    def apply_to(self, caller: Caller) -> bool:
        wanted = (
            (BudgetKind.TENANT, ""),
            (BudgetKind.USER, caller.user),
            (BudgetKind.USER, "*"),
            *(((BudgetKind.KEY, caller.key_id), (BudgetKind.KEY, "*")) if caller.key_id else ()),
        )
        return any(subject in self.subjects for subject in wanted)


class Applying:
    """Knows for each tenant that calls whose budgets there are; their limits are read where they are decided on."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[_Known]] = {}
        self._failed_at = float("-inf")

    @property
    def known(self) -> Mapping[str, object]:
        """By tenant, for tests and metrics."""
        return self._known

    async def apply_to(self, caller: Caller) -> bool:
        """Whether anything the caller starts has to be held against a budget.

        Raises DATABASE_UNAVAILABLE when that is not known and cannot be asked.
        """
        known, now = self._known.get(caller.tenant), self._clock()
        if known is not None and now - known.asked_at < BELIEVED_S:
            if now - known.asked_at >= REFRESH_S:
                self._ask(caller.tenant)
            return known.apply_to(caller)
        try:
            if known is not None and self._is_stale_but_good(known, caller, now) and now - self._failed_at < PAUSE_S:
                return False
            return (await asyncio.shield(self._ask(caller.tenant))).apply_to(caller)
        except DormouseError as error:
            away = error.reason == ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE
            if away and known is not None and self._is_stale_but_good(known, caller, now):
                return False
            raise

    def forget(self, tenant: str) -> None:
        """The tenant's budgets have changed here."""
        self._known.pop(tenant, None)
        self._asking.pop(tenant, None)

    async def close(self) -> None:
        """Ends what is under way."""
        for task in tuple(self._asking.values()):
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    def _is_stale_but_good(self, known: _Known, caller: Caller, now: float) -> bool:
        return now - known.asked_at < STALE_S and not known.apply_to(caller)

    def _ask(self, tenant: str) -> asyncio.Task[_Known]:
        """Requests of a tenant that arrive together share one question."""
        task = self._asking.get(tenant)
        if task is None:
            task = self._asking[tenant] = asyncio.create_task(self._query(tenant))
            task.add_done_callback(lambda task: self._answered(tenant, task))
        return task

    def _answered(self, tenant: str, task: asyncio.Task[_Known]) -> None:
        if self._asking.get(tenant) is not task:
            return  # the budgets have changed meanwhile
        del self._asking[tenant]
        if task.cancelled():
            return
        if task.exception() is not None:
            self._failed_at = self._clock()
            return
        self._known.pop(tenant, None)
        while len(self._known) >= CACHE_LIMIT:
            del self._known[next(iter(self._known))]
        self._known[tenant] = task.result()

    async def _query(self, tenant: str) -> _Known:
        asked_at = self._clock()
        async with self._database.tenant(tenant, ANSWER_S) as connection:
            cursor = await connection.execute("select distinct kind, subject from budgets")
            rows = await cursor.fetchall()
        return _Known(frozenset((row["kind"], row["subject"]) for row in rows), asked_at)
