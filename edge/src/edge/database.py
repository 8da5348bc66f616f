"""Postgres: one pool, short timeouts, and transactions that see one tenant only."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

Connection = psycopg.AsyncConnection[DictRow]

UNAVAILABLE = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
"""What a Postgres that is stopped, starting, unreachable or overloaded raises."""


class Database:
    """The edge's connections to Postgres.

    Every failure to reach the server becomes DATABASE_UNAVAILABLE within `timeout_s`; the pool heals by itself.
    """

    def __init__(self, url: str, *, max_connections: int = 8, timeout_s: float = 2.0) -> None:
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
            check=AsyncConnectionPool.check_connection,
            open=False,
        )

    async def open(self) -> None:
        """Starts to connect; does not wait, so that a database that is away stops nobody from starting."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Closes every connection."""
        await self._pool.close(timeout=1)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection outside any tenant, for what is looked up before the tenant is known."""
        try:
            async with self._pool.connection() as connection:
                yield connection
        except UNAVAILABLE as error:
            raise DormouseError(
                ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE, "The database does not answer; try again shortly."
            ) from error

    @asynccontextmanager
    async def tenant(self, tenant: str) -> AsyncIterator[Connection]:
        """A transaction in which row-level security shows the rows of one tenant."""
        async with self.connection() as connection, connection.transaction():
            await connection.execute("select set_config('dormouse.tenant', %s, true)", (tenant,))
            yield connection
