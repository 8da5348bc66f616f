"""The ledger, whose database driver is loaded when it is first needed, or a moment after the start.

psycopg takes a third of a second to import, which neither the start nor a call without side effects waits for.
"""

import asyncio
import importlib
from typing import TYPE_CHECKING, Final

from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError

from tool_fn.ledger.port import Entry, Verdict
from tool_fn.results import Result

if TYPE_CHECKING:
    from tool_fn.ledger.postgres import PostgresLedger

_LOAD_AFTER_S: Final = 1.0


class Ledger:
    """All methods raise DATABASE_UNAVAILABLE within about 3 s where the database does not answer, or there is none."""

    def __init__(self, postgres_url: str, kept_days: int) -> None:
        """postgres_url: empty: no database. kept_days: how long a result can be had again."""
        self._url = postgres_url
        self._kept_days = kept_days
        self._postgres: asyncio.Task[PostgresLedger] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_LOAD_AFTER_S, self._load) if postgres_url else None

    async def begin(self, entry: Entry, *, may_run: bool) -> Verdict:
        """Decides, once and for all processes, who runs the call. Never Mine without `may_run`."""
        return await (await self._loaded()).begin(entry, may_run=may_run)

    async def finish(self, entry: Entry, result: Result) -> None:
        """Stores what a call that was Mine has brought."""
        await (await self._loaded()).finish(entry, result)

    async def aclose(self) -> None:
        """Closes the connections. Calls that have not finished count as lost from now on."""
        if self._timer is not None:
            self._timer.cancel()
        if self._postgres is not None:
            await asyncio.wait([self._postgres])
            await self._postgres.result().aclose()

    async def _loaded(self) -> "PostgresLedger":
        if not self._url:
            raise DormouseError(error_pb2.ERROR_REASON_DATABASE_UNAVAILABLE, "There is no database.")
        return await asyncio.shield(self._load())

    def _load(self) -> "asyncio.Task[PostgresLedger]":
        if self._postgres is None:
            self._postgres = self._loop.create_task(self._import())
        return self._postgres

    async def _import(self) -> "PostgresLedger":
        module = await asyncio.to_thread(importlib.import_module, "tool_fn.ledger.postgres")
        ledger: PostgresLedger = await module.PostgresLedger.open(self._url, self._kept_days)
        return ledger
