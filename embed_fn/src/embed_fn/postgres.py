"""The function's one pool of connections, whose driver is loaded when it is first needed, or a moment after the start.

psycopg takes a third of a second to import, which neither the start nor an embedding waits for.
"""

import asyncio
import importlib
from contextvars import Context
from typing import TYPE_CHECKING, Final

from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError

if TYPE_CHECKING:
    from dormouse_runtime.postgres import Database

_LOAD_AFTER_S: Final = 1.0
_REFUSAL: Final = "The database of documents does not answer."


class Postgres:
    """Opens the pool once, for all who ask. It connects to nothing by itself."""

    def __init__(self, url: str) -> None:
        """url: empty: there is no database."""
        self.url = url
        self._database: asyncio.Task[Database] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_LOAD_AFTER_S, self._load) if url else None

    async def database(self) -> "Database":
        """The pool. Its `answer` limits the time of what is asked. Errors: DATABASE_UNAVAILABLE where there is none."""
        if not self.url:
            raise DormouseError(error_pb2.ERROR_REASON_DATABASE_UNAVAILABLE, "There is no database.")
        return await asyncio.shield(self._load())

    @property
    def loaded(self) -> "Database | None":
        """The pool, if the driver is loaded. For those who can do without, and do not wait."""
        return self._database.result() if self._database is not None and self._database.done() else None

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._timer is not None:
            self._timer.cancel()
        if self._database is not None:
            await asyncio.wait([self._database])
            await self._database.result().aclose()

    def _load(self) -> "asyncio.Task[Database]":
        if self._database is None:
            self._database = self._loop.create_task(self._open(), context=Context())
        return self._database

    async def _open(self) -> "Database":
        module = await asyncio.to_thread(importlib.import_module, "dormouse_runtime.postgres")
        database: Database = await module.Database.open(self.url, name="documents", refusal=_REFUSAL)
        return database
