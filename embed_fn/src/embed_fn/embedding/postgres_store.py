"""The cache's second level, the table embedding_cache: read with a short limit, written and pruned behind calls."""

from __future__ import annotations

import asyncio
import logging
import sys
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from dormouse_runtime.errors import DormouseError

from embed_fn.embedding.cache import Key
from embed_fn.embedding.port import Item
from embed_fn.postgres import Postgres

if TYPE_CHECKING:
    from dormouse_runtime.postgres import Database

_logger = logging.getLogger(__name__)
# Longer than this nobody waits for what the model can make again.
_FIND_S: Final = 0.1
_FIND_MORE_S: Final = 0.001  # for each text
_AWAY_S: Final = 5.0
_GATHER_S: Final = 0.25
_ROWS: Final = 500
_WRITE_S: Final = 10.0
_MOST_WAITING: Final = 20_000
_LAST_WRITE_S: Final = 2.0
_PRUNE_AFTER_S: Final = 60.0
_PRUNE_EVERY_S: Final = 3600.0
_PRUNE_ROWS: Final = 1000
_SWAP: Final = sys.byteorder == "big"

_TENANT: Final = "select set_config('dormouse.tenant', %(tenant)s, true)"
_FIND: Final = """
    select text_hash, vector, token_count, used_on < current_date as is_old from embedding_cache
    where tenant_id = %(tenant)s and model = %(model)s and text_hash = any(%(hashes)s)
"""
_KEEP: Final = """
    insert into embedding_cache (tenant_id, model, text_hash, vector, token_count)
    select %(tenant)s, %(model)s, * from unnest(%(hashes)s::bytea[], %(vectors)s::bytea[], %(counts)s::integer[])
    on conflict (tenant_id, model, text_hash) do update set used_on = excluded.used_on
        where embedding_cache.used_on < excluded.used_on
"""
_PRUNE: Final = "select prune_embedding_cache(current_date - %(days)s::integer, %(rows)s) as dropped"


class PostgresStore:
    """See cache.Store. Without a database, and until its driver is loaded, it has nothing and keeps nothing."""

    def __init__(self, postgres: Postgres, kept_days: int) -> None:
        """kept_days: how long vectors stay that nobody asks for."""
        self._postgres = postgres
        self._kept_days = kept_days
        self._waiting: dict[Key, Item] = {}
        self._writer: asyncio.Task[None] | None = None
        self._pruner: asyncio.Task[None] | None = None
        self._away_until = 0.0
        self._loop = asyncio.get_running_loop()

    async def find(self, keys: Sequence[Key]) -> Mapping[Key, Item]:
        """See cache.Store."""
        database = self._reachable()
        if database is None:
            return {}
        limit_s = _FIND_S + len(keys) * _FIND_MORE_S
        try:
            return await database.answer(self._find(database, keys), limit_s)
        except (DormouseError, _driver_error()):  # the driver's: for instance before the migrations have run
            self._away_until = self._loop.time() + _AWAY_S
            return {}

    def keep(self, entries: Iterable[tuple[Key, Item]]) -> None:
        """See cache.Store."""
        if not self._postgres.url:
            return
        self._waiting.update(entries)
        while len(self._waiting) > _MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
        # In empty contexts: what is done for all has no call's deadline.
        if self._writer is None and self._waiting:
            self._writer = asyncio.create_task(self._write(), context=Context())
        if self._pruner is None:
            self._pruner = asyncio.create_task(self._prune(), context=Context())

    async def aclose(self) -> None:
        """Writes what waits, if that is quickly done."""
        if self._pruner is not None:
            self._pruner.cancel()
            with suppress(asyncio.CancelledError):
                await self._pruner
        if self._writer is not None:
            self._writer.cancel()
            with suppress(asyncio.CancelledError):
                await self._writer
        if self._waiting and (database := self._reachable()) is not None:
            with suppress(DormouseError, TimeoutError, _driver_error()):
                async with asyncio.timeout(_LAST_WRITE_S):
                    await self._write_all(database)

    def _reachable(self) -> Database | None:
        """None also while it is not worth asking: nobody waits for it again and again."""
        return None if self._loop.time() < self._away_until else self._postgres.loaded

    async def _find(self, database: Database, keys: Sequence[Key]) -> Mapping[Key, Item]:
        tenant, model = keys[0].tenant, keys[0].model
        values = {"tenant": tenant, "model": model, "hashes": [key.text_hash for key in keys]}
        async with database.pool.connection() as connection, connection.pipeline(), connection.transaction():
            await connection.execute(_TENANT, values)
            rows = await (await connection.execute(_FIND, values, binary=True)).fetchall()
        found = {Key(tenant, model, bytes(row["text_hash"])): _item(row) for row in rows}
        old = [Key(tenant, model, bytes(row["text_hash"])) for row in rows if row["is_old"]]
        self.keep((key, found[key]) for key in old)
        return found

    async def _write(self) -> None:
        try:
            while self._waiting:
                # A moment for others to come, so that there are few and large writes.
                await asyncio.sleep(_GATHER_S)
                try:
                    await self._write_all(await self._postgres.database())
                except (DormouseError, _driver_error()):
                    await asyncio.sleep(_AWAY_S)
        finally:
            self._writer = None

    async def _write_all(self, database: Database) -> None:
        while self._waiting:
            groups: dict[tuple[str, str], list[Key]] = defaultdict(list)
            for key in list(self._waiting)[: 4 * _ROWS]:
                groups[key.tenant, key.model].append(key)
            for (tenant, model), keys in groups.items():
                for at in range(0, len(keys), _ROWS):
                    part = keys[at : at + _ROWS]
                    await database.answer(self._insert(database, tenant, model, part), _WRITE_S)
                    for key in part:
                        self._waiting.pop(key, None)

    async def _insert(self, database: Database, tenant: str, model: str, keys: Sequence[Key]) -> None:
        # In the order of the keys, so that two processes with the same texts cannot wait for each other.
        rows = [(key.text_hash, self._waiting[key]) for key in sorted(keys) if key in self._waiting]
        values = {
            "tenant": tenant,
            "model": model,
            "hashes": [text_hash for text_hash, _ in rows],
            "vectors": [_packed(item.vector) for _, item in rows],
            "counts": [item.token_count for _, item in rows],
        }
        async with database.pool.connection() as connection, connection.pipeline(), connection.transaction():
            await connection.execute(_TENANT, values)
            await connection.execute(_KEEP, values)

    async def _prune(self) -> None:
        """Drops old rows for as long as the process lives. Never fails: the next round, or process, will do."""
        await asyncio.sleep(_PRUNE_AFTER_S)
        while True:
            try:
                database = await self._postgres.database()
                while await database.answer(self._prune_some(database)) == _PRUNE_ROWS:
                    await asyncio.sleep(0)
            except (DormouseError, _driver_error()):
                _logger.warning("old vectors could not be pruned")
            await asyncio.sleep(_PRUNE_EVERY_S)

    async def _prune_some(self, database: Database) -> int:
        async with database.pool.connection() as connection:
            cursor = await connection.execute(_PRUNE, {"days": self._kept_days, "rows": _PRUNE_ROWS})
            row = await cursor.fetchone()
        dropped: int = row["dropped"] if row else 0
        return dropped


def _driver_error() -> type[Exception]:
    from psycopg import Error  # loaded by now: who asks has the pool

    return Error


def _packed(vector: array[float]) -> bytes:
    if _SWAP:
        vector = vector[:]
        vector.byteswap()
    return vector.tobytes()


def _item(row: Mapping[str, Any]) -> Item:
    vector = array("f")
    vector.frombytes(row["vector"])
    if _SWAP:
        vector.byteswap()
    return Item(vector, row["token_count"])
