"""Vectors of large tenants brought into their HNSW index, in the background.

To add a vector to the index costs about twenty times as much as to store it. So it is stored first, and found by
comparing; a tenant with few passages is always searched so, which is exact and takes no index at all.
"""

import asyncio
import logging
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Final

from embed_fn.postgres import Postgres
from embed_fn.store.transactions import WRITE_S, Transactions, database_errors

if TYPE_CHECKING:
    from dormouse_runtime.postgres import Connection

_logger = logging.getLogger(__name__)

COMPARED: Final = 8000
"""Passages of a tenant that a search compares with all of; with more it asks the index (see loadtest.retrieval)."""
BATCH: Final = 64
_AGAIN_S: Final = 5.0
# Materialized: a plan that asks the subquery again for each row would pass over what it has locked, and take more.
_SETTLE: Final = """
    with next as materialized (
        select chunk, model from embeddings where tenant_id = %(tenant)s and not indexed
            and (select chunks from libraries where tenant_id = %(tenant)s) > %(compared)s
        limit %(batch)s for update skip locked
    )
    update embeddings e set indexed = true from next
    where e.tenant_id = %(tenant)s and e.chunk = next.chunk and e.model = next.model
"""


class Settling:
    """A task that works while there is something to do. What a process leaves undone, a later one does."""

    def __init__(self, postgres: Postgres) -> None:
        self._transactions = Transactions(postgres)
        self._tenants: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None

    def wake(self, tenant: str) -> None:
        """Looks after this tenant soon. Costs nothing where there is nothing to do."""
        self._tenants[tenant] = None
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work(), context=Context())  # outlives the call

    async def settle(self, tenant: str) -> int:
        """One batch. Returns how many vectors it has brought in; fewer than BATCH: there are no more."""
        values = {"tenant": tenant, "compared": COMPARED, "batch": BATCH}

        async def work(connection: "Connection") -> int:
            return (await connection.execute(_SETTLE, values)).rowcount

        return await self._transactions.run(tenant, work, timeout_s=WRITE_S)

    async def aclose(self) -> None:
        """Ends the task; nothing is lost."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _work(self) -> None:
        while self._tenants:
            tenant = next(iter(self._tenants))
            del self._tenants[tenant]
            try:
                if await self.settle(tenant) == BATCH:
                    self._tenants[tenant] = None  # behind the others
            except database_errors():
                _logger.warning("vectors wait for their index: the database does not answer")
                self._tenants[tenant] = None
                await asyncio.sleep(_AGAIN_S)
