"""What is stored of a document dropped, batch by batch, so that nobody waits long for it."""

from typing import TYPE_CHECKING, Final

from embed_fn.store.transactions import WRITE_S, Transactions

if TYPE_CHECKING:
    from dormouse_runtime.postgres import Connection

_BATCH: Final = 500
_SWEPT: Final = 100
# Under the document's lock: whoever begins it anew meanwhile is not robbed of what he has stored.
_LOCK: Final = """
    select state from documents where tenant_id = %(tenant)s and number = %(number)s
        and (state in ('deleted', 'failed') or (state = 'ingesting' and recipe = '')) for update
"""
_DROP: Final = "select delete_chunks(%(number)s, %(batch)s) as dropped"
_COUNT: Final = """
    update documents set chunk_count = chunk_count - %(dropped)s where tenant_id = %(tenant)s and number = %(number)s
"""
_REMOVE: Final = "delete from documents where tenant_id = %(tenant)s and number = %(number)s and state = 'deleted'"
_TO_CLEAR: Final = "select tenant_id, number from documents_to_clear(now() - interval '1 minute', %s)"


class Clearing:
    """Documents that are deleted, have failed, or are to be ingested by another recipe."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def clear(self, tenant: str, number: int) -> None:
        """Drops all passages of the document, and itself where it is deleted. Nothing where it is in use again."""
        values = {"tenant": tenant, "number": number, "batch": _BATCH}

        async def work(connection: "Connection") -> bool:
            if await (await connection.execute(_LOCK, values)).fetchone() is None:
                return False
            row = await (await connection.execute(_DROP, values)).fetchone()
            dropped = row["dropped"] if row else 0
            if dropped:
                await connection.execute(_COUNT, values | {"dropped": dropped})
            if dropped < _BATCH:
                await connection.execute(_REMOVE, values)
            return bool(dropped == _BATCH)

        while await self._transactions.run(tenant, work, timeout_s=WRITE_S):
            pass

    async def sweep(self) -> int:
        """See DocumentStore.sweep."""

        async def work(connection: "Connection") -> list[tuple[str, int]]:
            rows = await (await connection.execute(_TO_CLEAR, (_SWEPT,))).fetchall()
            return [(row["tenant_id"], row["number"]) for row in rows]

        swept = 0
        while found := await self._transactions.run_for_all(work):
            for tenant, number in found:
                await self.clear(tenant, number)
            swept += len(found)
        return swept
