"""Transactions of one tenant, each with a limit of time."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from dormouse_runtime.errors import DormouseError

from embed_fn.postgres import Postgres

if TYPE_CHECKING:
    from typing import LiteralString

    from dormouse_runtime.postgres import Connection, Database
    from psycopg.rows import DictRow

T = TypeVar("T")
READ_S: Final = 3.0
WRITE_S: Final = 30.0
"""A batch of passages may have to wait for its turn at the tenant's words."""
_TENANT: Final = "select set_config('dormouse.tenant', %s, true)"


class Transactions:
    """Row-level security shows each the rows of its tenant."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def run(self, tenant: str, work: "Callable[[Connection], Awaitable[T]]", *, timeout_s: float = READ_S) -> T:
        """What `work` returns, committed. Errors: DATABASE_UNAVAILABLE."""
        database = await self._postgres.database()
        return await database.answer(_of_tenant(database, tenant, work), timeout_s)

    async def ask(
        self, statement: "LiteralString", values: Mapping[str, object], *, timeout_s: float = READ_S
    ) -> "Sequence[DictRow]":
        """The rows of one statement, which is a transaction: it calls a function that is told the tenant. Half as much
        work for both ends as `run`. Errors: DATABASE_UNAVAILABLE."""
        database = await self._postgres.database()
        return await database.answer(_one(database, statement, values), timeout_s)

    async def run_for_all(self, work: "Callable[[Connection], Awaitable[T]]") -> T:
        """The same without a tenant, for the functions that work over all."""
        database = await self._postgres.database()
        return await database.answer(_outside(database, work))


def database_errors() -> tuple[type[Exception], ...]:
    """What work in the background has to expect: a database that is away, or whose migrations have not run."""
    from psycopg import Error  # by now it is loaded

    return DormouseError, Error


async def _of_tenant(database: "Database", tenant: str, work: "Callable[[Connection], Awaitable[T]]") -> T:
    async with database.pool.connection() as connection, connection.transaction():
        await connection.execute(_TENANT, (tenant,))
        return await work(connection)


async def _one(database: "Database", statement: "LiteralString", values: Mapping[str, object]) -> "Sequence[DictRow]":
    async with database.pool.connection() as connection:
        return await (await connection.execute(statement, values, binary=True)).fetchall()


async def _outside(database: "Database", work: "Callable[[Connection], Awaitable[T]]") -> T:
    async with database.pool.connection() as connection, connection.transaction():
        return await work(connection)
