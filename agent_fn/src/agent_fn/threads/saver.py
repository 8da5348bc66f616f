"""LangGraph's saver in transactions of one tenant, so that row-level security stands under its tables too."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from dormouse_runtime.postgres import Connection, Pool
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncCursor
from psycopg.rows import DictRow

_TENANT: Final = "select set_config('dormouse.tenant', %s, true)"
_ONE_SNAPSHOT: Final = "set transaction isolation level repeatable read"


async def enter_tenant(connection: Connection, tenant: str) -> None:
    """Until its end the transaction sees the rows of this tenant, and can write no others."""
    await connection.execute(_TENANT, (tenant,))


class TenantSaver(AsyncPostgresSaver):
    """Everything it does is a transaction of its tenant.

    one_snapshot: transactions read what was there at their beginning, as LangGraph's pruning wants it; it asks for that
    itself, but is heard only where nothing was read before.
    """

    def __init__(self, pool: Pool, tenant: str, *, one_snapshot: bool = False) -> None:
        super().__init__(pool)
        self._pool = pool
        self._tenant = tenant
        self._one_snapshot = one_snapshot

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[AsyncCursor[DictRow]]:
        """The one way by which the saver's methods reach the database.

        Always in a pipeline, so that entering the tenant costs no round trip.
        """
        async with (
            self.lock,
            self._pool.connection() as connection,
            connection.pipeline(),
            connection.transaction(),
            connection.cursor(binary=True) as cursor,
        ):
            if self._one_snapshot:
                await connection.execute(_ONE_SNAPSHOT)
            await enter_tenant(connection, self._tenant)
            yield cursor
