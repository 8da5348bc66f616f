"""Postgres: one pool, short timeouts, and transactions that see one tenant only."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import psycopg
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

Connection = psycopg.AsyncConnection[DictRow]

UNAVAILABLE = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
"""What a Postgres that is stopped, starting, unreachable or overloaded raises."""


CHECK_S = 0.5
"""How long a connection from the pool may take to say that it still works."""


class Database:
    """The edge's connections to Postgres.

    Every failure to reach the server becomes DATABASE_UNAVAILABLE: within `timeout_s` where there is no connection, a
    quarter later where the server has stopped in the middle of an answer. The pool heals by itself.
    """

    def __init__(self, url: str, *, max_connections: int = 8, timeout_s: float = 2.0) -> None:
        self._timeout_s = timeout_s
        options: dict[str, Any] = {
            "autocommit": True,
            "row_factory": dict_row,
            "prepare_threshold": None,  # a transaction pooler may stand between
            "connect_timeout": 2,
            "options": f"-c statement_timeout={int(timeout_s * 1000)}",
            "application_name": "dormouse-edge",
        }
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            connection_class=psycopg.AsyncConnection[DictRow],
            kwargs=options,
            min_size=1,
            max_size=max_connections,
            timeout=timeout_s,
            reconnect_timeout=5,
            check=_check,
            open=False,
        )

    async def open(self) -> None:
        """Starts to connect; does not wait, so that a database that is away stops nobody from starting."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Closes every connection."""
        await self._pool.close(timeout=1)

    @asynccontextmanager
    async def connection(self, timeout_s: float | None = None) -> AsyncIterator[Connection]:
        """A connection outside any tenant, for what is looked up before the tenant is known.

        timeout_s takes the place of the pool's own.
        """
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        deadline = asyncio.get_running_loop().time() + 1.25 * timeout_s
        try:
            async with self._pool.connection(timeout_s) as connection:
                with _hung_up_at(deadline, connection):
                    yield connection
        except UNAVAILABLE as error:
            raise DormouseError(
                ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE, "The database does not answer; try again shortly."
            ) from error

    @asynccontextmanager
    async def tenant(self, tenant: str, timeout_s: float | None = None) -> AsyncIterator[Connection]:
        """A transaction in which row-level security shows the rows of one tenant."""
        async with self.connection(timeout_s) as connection, connection.transaction():
            await connection.execute("select set_config('dormouse.tenant', %s, true)", (tenant,))
            yield connection


async def _check(connection: Connection) -> None:
    with _hung_up_at(asyncio.get_running_loop().time() + CHECK_S, connection):
        await AsyncConnectionPool.check_connection(connection)


@contextmanager
def _hung_up_at(deadline: float, connection: Connection) -> Iterator[None]:
    """Fails whoever waits on the connection after the deadline, by the loop's clock.

    A server that is frozen, or a network that swallows packets, does not heed statement_timeout, and psycopg does not
    heed a cancellation before it has asked that server to cancel. To a closed socket it does.
    """
    timer = asyncio.get_running_loop().call_at(deadline, _hang_up, connection)
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(connection: Connection) -> None:
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)
