"""A small pool of connections to Postgres, and a limit of time for everything that is asked of it.

For parts that depend on psycopg and psycopg_pool; nothing else of the runtime imports this.
"""

from __future__ import annotations

import asyncio
import logging
import select
from collections.abc import Coroutine
from typing import Any, Final, Self, TypeAlias, TypeVar

import psycopg
from dormouse.common.v1 import error_pb2
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed

from dormouse_runtime.errors import DormouseError

_logger = logging.getLogger(__name__)
T = TypeVar("T")
Connection: TypeAlias = psycopg.AsyncConnection[DictRow]
Pool: TypeAlias = AsyncConnectionPool[Connection]

ANSWER_S: Final = 3.0
_CONNECTIONS: Final = 8
_WAITING: Final = 1024
_CONNECT_S: Final = 2
_POOL_S: Final = 2.0
_IDLE_S: Final = 60.0
CONNECTION_OPTIONS: Final[dict[str, Any]] = {
    "autocommit": True,
    "row_factory": dict_row,
    "prepare_threshold": None,  # names of prepared statements would clash behind a pooler
    "connect_timeout": _CONNECT_S,
}


async def _check(connection: Connection) -> None:
    """Asks the server only where something has come over an idle connection: that it has ended, as a rule."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        await AsyncConnectionPool.check_connection(connection)


class Database:
    """The pool of one purpose. Whoever opens it closes it."""

    def __init__(self, pool: Pool, refusal: str) -> None:
        self.pool = pool
        self._refusal = refusal
        self._given_up: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, url: str, *, name: str, refusal: str) -> Self:
        """Connects to nothing yet, so a database that is away stops no start. refusal: what callers are told then."""
        pool: Pool = AsyncConnectionPool(
            url,
            connection_class=psycopg.AsyncConnection[DictRow],
            min_size=0,
            max_size=_CONNECTIONS,
            max_waiting=_WAITING,
            max_idle=_IDLE_S,
            timeout=_POOL_S,
            # Attempts to connect are given up soon and made anew by the next call: healing waits for no back-off.
            reconnect_timeout=_CONNECT_S,
            # Without this a restarted database fails one call for each connection from before.
            check=_check,
            kwargs=CONNECTION_OPTIONS,
            name=name,
            open=False,
        )
        await pool.open(wait=False)
        return cls(pool, refusal)

    async def aclose(self) -> None:
        """Closes all connections."""
        for task in self._given_up:
            task.cancel()
        await self.pool.close(timeout=ANSWER_S)

    async def answer(self, work: Coroutine[Any, Any, T], timeout_s: float = ANSWER_S) -> T:
        """What the database answers, if it does so in time. Errors: DATABASE_UNAVAILABLE.

        As a task of its own, because psycopg's calls do not end by being cancelled when a server is frozen.
        """
        task = asyncio.create_task(work)
        try:
            await asyncio.wait([task], timeout=timeout_s)
        finally:
            if not task.done():
                self._given_up.add(task)
                task.add_done_callback(self._forget)
                task.cancel()
        if not task.done():
            _logger.warning("the database does not answer in time")
            raise self.unavailable()
        try:
            return task.result()
        except (psycopg.OperationalError, PoolClosed) as error:
            _logger.warning("the database does not answer", extra={"error": type(error).__name__})
            raise self.unavailable() from error

    def unavailable(self) -> DormouseError:
        """The error for callers."""
        return DormouseError(error_pb2.ERROR_REASON_DATABASE_UNAVAILABLE, self._refusal)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._given_up.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.debug("what was given up has failed", extra={"error": type(error).__name__})
