"""The ledger in Postgres: a row for each call with side effects, made before it runs."""

import asyncio
import logging
from contextlib import suppress
from typing import Any, Final

from dormouse_runtime.errors import DormouseError
from dormouse_runtime.postgres import Database
from psycopg.rows import DictRow

from tool_fn.ledger.port import Different, Entry, Finished, Lost, Mine, NotBegun, Running, Verdict
from tool_fn.ledger.presence import Presence
from tool_fn.results import Result
from tool_fn.sources import from_json, to_json

_logger = logging.getLogger(__name__)
_PRUNE_AFTER_S: Final = 10.0
_PRUNE_EVERY_S: Final = 3600.0
_PRUNE_ROWS: Final = 1000
# A database that has just started knows no locks yet; whoever lives takes his again within this time.
_GRACE_S: Final = 5

_TENANT: Final = "select set_config('dormouse.tenant', %(tenant)s, true)"
# A process whose own lock is free must not begin anything: to the others it would look dead.
_BEGIN: Final = """
    insert into tool_calls (tenant_id, key, tool, arguments_hash, owner)
    select %(tenant)s, %(key)s, %(tool)s, %(arguments_hash)s, %(me)s
    where %(may_run)s and not pg_try_advisory_xact_lock_shared(%(me)s)
    on conflict (tenant_id, key) do nothing
    returning true
"""
_LOOK: Final = """
    select tool, arguments_hash, owner, status, content, is_error, is_truncated, outcome_unknown, duration_ms,
        sources::text as sources,
        case when status = 'running' then pg_try_advisory_xact_lock_shared(owner)
            and pg_postmaster_start_time() < now() - make_interval(secs => %(grace)s) end as is_lost
    from tool_calls where tenant_id = %(tenant)s and key = %(key)s
"""
_FINISH: Final = """
    update tool_calls set status = 'finished', finished_at = now(), content = %(content)s, is_error = %(is_error)s,
        is_truncated = %(is_truncated)s, outcome_unknown = %(outcome_unknown)s, duration_ms = %(duration_ms)s,
        sources = %(sources)s::jsonb
    where tenant_id = %(tenant)s and key = %(key)s and owner = %(me)s and status = 'running'
"""
_PRUNE: Final = "select prune_tool_calls(now() - make_interval(days => %(days)s), %(rows)s) as dropped"


class PostgresLedger:
    """See ledger.Ledger."""

    def __init__(self, database: Database, presence: Presence, kept_days: int) -> None:
        self._database = database
        self._presence = presence
        self._kept_days = kept_days
        self._pruning: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, url: str, kept_days: int) -> "PostgresLedger":
        """Makes the pool; connects to nothing yet."""
        database = await Database.open(url, name="ledger", refusal="The database of tool calls does not answer.")
        return cls(database, Presence(url), kept_days)

    async def aclose(self) -> None:
        """Closes all connections."""
        if self._pruning is not None:
            self._pruning.cancel()
            with suppress(asyncio.CancelledError):
                await self._pruning
        await self._presence.aclose()
        await self._database.aclose()

    async def begin(self, entry: Entry, *, may_run: bool) -> Verdict:
        """See ledger.Ledger.begin.

        A row of this process counts as not begun: what it has begun indeed it remembers, and does not ask for.
        """
        verdict = await self._database.answer(self._begin(entry, may_run))
        if isinstance(verdict, Lost):
            # It may have finished after the row was read and before its lock was tried. Now nothing changes any more.
            verdict = await self._database.answer(self._begin(entry, may_run))
        if self._pruning is None:
            self._pruning = asyncio.create_task(self._prune())
        return verdict

    async def finish(self, entry: Entry, result: Result) -> None:
        """See ledger.Ledger.finish."""
        await self._database.answer(self._finish(entry, result))

    async def _begin(self, entry: Entry, may_run: bool) -> Verdict:
        if may_run:
            await self._presence.held()
        values = self._values(entry) | {"may_run": may_run, "grace": _GRACE_S}
        async with self._database.pool.connection() as connection, connection.pipeline(), connection.transaction():
            await connection.execute(_TENANT, values)
            inserted = await connection.execute(_BEGIN, values)
            looked = await connection.execute(_LOOK, values)
            begun, row = await inserted.fetchone(), await looked.fetchone()
        if begun is not None:
            return Mine()
        if row is None:
            if may_run:
                raise self._database.unavailable()
            return NotBegun()
        return self._verdict(entry, row, may_run)

    def _verdict(self, entry: Entry, row: DictRow, may_run: bool) -> Verdict:
        if (row["tool"], row["arguments_hash"]) != (entry.tool, entry.arguments_hash):
            return Different()
        if row["status"] == "finished":
            return Finished(
                Result(
                    row["content"],
                    is_error=row["is_error"],
                    is_truncated=row["is_truncated"],
                    outcome_unknown=row["outcome_unknown"],
                    duration_ms=row["duration_ms"],
                    sources=from_json(row["sources"]),
                )
            )
        if row["owner"] == self._presence.owner:
            return Mine() if may_run else NotBegun()
        return Lost() if row["is_lost"] else Running()

    async def _finish(self, entry: Entry, result: Result) -> None:
        values = self._values(entry) | {
            "content": result.content,
            "is_error": result.is_error,
            "is_truncated": result.is_truncated,
            "outcome_unknown": result.outcome_unknown,
            "duration_ms": result.duration_ms,
            "sources": to_json(result.sources),
        }
        async with self._database.pool.connection() as connection, connection.pipeline(), connection.transaction():
            await connection.execute(_TENANT, values)
            await connection.execute(_FINISH, values)

    def _values(self, entry: Entry) -> dict[str, Any]:
        return {
            "tenant": entry.tenant,
            "key": entry.key,
            "tool": entry.tool,
            "arguments_hash": entry.arguments_hash,
            "me": self._presence.owner,
        }

    async def _prune(self) -> None:
        """Drops old rows for as long as the process lives. Never fails: the next round, or process, will do."""
        await asyncio.sleep(_PRUNE_AFTER_S)
        while True:
            try:
                while await self._database.answer(self._prune_some()) == _PRUNE_ROWS:
                    await asyncio.sleep(0)
            except DormouseError:
                _logger.warning("old calls could not be pruned")
            await asyncio.sleep(_PRUNE_EVERY_S)

    async def _prune_some(self) -> int:
        async with self._database.pool.connection() as connection:
            cursor = await connection.execute(_PRUNE, {"days": self._kept_days, "rows": _PRUNE_ROWS})
            row = await cursor.fetchone()
        dropped: int = row["dropped"] if row else 0
        if dropped:
            _logger.info("old calls pruned", extra={"rows": dropped})
        return dropped
