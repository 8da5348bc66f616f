"""Reads one database: a query in a transaction that can only read, bounded in time, rows and size.

What a query cannot do, and who sees to it:
- write, lock, or change the schema: the transaction is READ ONLY;
- be anything but one query: it stands in the FROM of another one, and goes over the extended protocol;
- call a function that may do something (a volatile one): its names are looked up in this database first;
- lift its limits: SET is no query, and set_config is volatile;
- read the server's files or run programs: a role that could is refused, and so is Dormouse's own database.
"""

import json
import logging
from typing import Any, Final

import psycopg
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.postgres import Connection, Database
from psycopg import sql

from tool_fn.databases.rows import Rows
from tool_fn.databases.statement import Statement
from tool_fn.tool import ToolError

_logger = logging.getLogger(__name__)
_ROW_CHARACTERS: Final = 16_000
# What is left of a call's time for the answer when the database has cut a query off.
_MARGIN_S: Final = 0.5
_LEAST_S: Final = 0.1

# Volatile, because their results change, and yet harmless.
_HARMLESS: Final = [
    "random",
    "clock_timestamp",
    "timeofday",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "statement_timestamp",
]

_BEGIN: Final = "set transaction isolation level repeatable read, read only"
_LIMITS: Final = """
    select set_config('statement_timeout', %(timeout)s, true), set_config('lock_timeout', '2s', true),
        set_config('idle_in_transaction_session_timeout', '60s', true)
"""
_TOO_MIGHTY: Final = """
    select rolsuper or rolreplication or exists (
            select from pg_roles special
            where special.rolname in ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
              and pg_has_role(current_user, special.oid, 'member')) as too_mighty,
        to_regclass('public.alembic_version') is not null and to_regclass('public.api_keys') is not null as is_own
    from pg_roles where rolname = current_user
"""
# A function with one composite argument can be called like a column, so that any name may be one.
_VOLATILE: Final = """
    select distinct proname from pg_proc
    where provolatile = 'v' and proname <> all(%(harmless)s)
      and (proname = any(%(called)s) or proname = any(%(names)s) and pronargs = 1
           and exists (select from pg_type where pg_type.oid = proargtypes[0] and typtype in ('c', 'p')))
    order by proname
"""
_QUERY: Final = sql.SQL(
    "select left(row_to_json(dormouse_row)::text, {most}) as row from (\n{query}\n) dormouse_row limit {rows}"
)


class DatabaseReader:
    """One database that the operator has configured."""

    def __init__(self, name: str, database: Database) -> None:
        self.name = name
        self._database = database

    @classmethod
    async def open(cls, name: str, url: str) -> "DatabaseReader":
        """Connects to nothing yet."""
        database = await Database.open(url, name=name, refusal=f"The database {name!r} does not answer now.")
        return cls(name, database)

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._database.aclose()

    async def query(self, text: str, *, max_rows: int, seconds: float) -> Rows:
        """Runs a stranger's query. Raises ToolError."""
        try:
            statement = Statement.read(text)
        except ValueError as error:
            raise ToolError(str(error)) from error
        return await self._run(statement, None, max_rows, seconds)

    async def lookup(self, text: str, values: dict[str, Any], *, max_rows: int, seconds: float) -> Rows:
        """Runs the operator's query with values for its `%(name)s`. Raises ToolError."""
        return await self._run(text, values, max_rows, seconds)

    async def _run(self, query: Statement | str, values: dict[str, Any] | None, max_rows: int, seconds: float) -> Rows:
        limit_s = max(seconds - _MARGIN_S, _LEAST_S)
        try:
            return await self._database.answer(self._read(query, values, max_rows, limit_s), seconds)
        except DormouseError as error:
            raise ToolError(error.message) from error

    async def _read(self, query: Statement | str, values: dict[str, Any] | None, max_rows: int, limit_s: float) -> Rows:
        async with self._database.pool.connection() as connection, connection.transaction():
            await connection.execute(_BEGIN)
            await connection.execute(_LIMITS, {"timeout": f"{int(limit_s * 1000)}ms"})
            await self._refuse_mighty(connection)
            if isinstance(query, Statement):
                await self._refuse_volatile(connection, query)
                text, values = query.text.replace("%", "%%"), {}
            else:
                text = query
            wrapped = _QUERY.format(
                most=sql.Literal(_ROW_CHARACTERS),
                query=sql.SQL(text),
                rows=sql.Literal(max_rows + 1),
            )
            found = await _fetch(connection, wrapped, values, limit_s)
        return _rows(found[:max_rows], has_more=len(found) > max_rows)

    async def _refuse_mighty(self, connection: Connection) -> None:
        row = await (await connection.execute(_TOO_MIGHTY)).fetchone()
        if row is None or row["too_mighty"]:
            _logger.error("a database is configured with a role that may do too much", extra={"database": self.name})
            raise ToolError(f"The database {self.name!r} is not offered: its role may do more than read tables.")
        if row["is_own"]:
            _logger.error("a database for tools is Dormouse's own", extra={"database": self.name})
            raise ToolError(f"The database {self.name!r} is not offered: it is the platform's own.")

    async def _refuse_volatile(self, connection: Connection, statement: Statement) -> None:
        cursor = await connection.execute(
            _VOLATILE,
            {"called": list(statement.called), "names": list(statement.names), "harmless": _HARMLESS},
        )
        names = [row["proname"] for row in await cursor.fetchall()]
        if names:
            raise ToolError(f"The query calls what may have side effects: {', '.join(names)}. Leave it out.")


async def _fetch(connection: Connection, query: sql.Composed, values: Any, limit_s: float) -> list[str]:
    try:
        # Binary results are a matter of the extended protocol only, which takes one statement.
        cursor = await connection.execute(query, values, binary=True)
        return [str(row["row"]) for row in await cursor.fetchall()]
    except psycopg.errors.QueryCanceled as error:
        raise ToolError(f"The query took longer than {limit_s:.1f} s and was cut off. Ask for less.") from error
    except psycopg.errors.ReadOnlySqlTransaction as error:
        raise ToolError("The database can only be read.") from error
    except psycopg.Error as error:
        if connection.broken:
            raise
        raise ToolError(_words_of(error)) from error


def _rows(found: list[str], *, has_more: bool) -> Rows:
    columns: list[str] = []
    values: list[list[str | None]] = []
    for text in found:
        if len(text) >= _ROW_CHARACTERS:
            raise ToolError(
                f"A row is longer than {_ROW_CHARACTERS:,} characters. Choose fewer columns, or parts with left()."
            )
        # Numbers stay as they are written, so that none loses a digit; a column may come twice.
        pairs = json.loads(text, parse_float=str, parse_int=str, object_pairs_hook=_Pairs)
        columns = [name for name, _ in pairs]
        values.append([_text(value) for _, value in pairs])
    return Rows(columns, values, has_more)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it is written."""


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {name: _plain(item) for name, item in value}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _words_of(error: psycopg.Error) -> str:
    """What the database says of a query; it is the operator's own, and a model can mend the query by it."""
    said = error.diag.message_primary or "it gives no reason"
    hint = f" Hint: {error.diag.message_hint}" if error.diag.message_hint else ""
    return f"The database refuses the query: {said}.{hint}"
