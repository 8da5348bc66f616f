"""The database as an operator: one connection, one transaction a command, and its entry in the audit log."""

import argparse
import getpass
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.rows import DictRow, dict_row

from edge.audit import Entry, append
from edge.auth.peppers import Peppers
from edge.database import Connection

from .errors import AdminError

URL: Final = "DORMOUSE_ADMIN_POSTGRES_URL"
OWNER_URL: Final = "DORMOUSE_MIGRATIONS_POSTGRES_URL"
PEPPER: Final = "DORMOUSE_KEY_PEPPER"


def add_options(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """Where the database is, and the peppers."""
    parser.add_argument(
        "--database",
        metavar="URL",
        default=environ.get(URL) or environ.get(OWNER_URL, ""),
        help=f"of the role that owns the tables; else {URL} or {OWNER_URL} (keep passwords out of command lines)",
    )
    parser.add_argument(
        "--pepper", metavar="FILE", default=environ.get(PEPPER, ""), help=f"the platform's pepper; else {PEPPER}"
    )


def peppers_of(options: argparse.Namespace) -> Peppers:
    """Raises AdminError."""
    if not options.pepper:
        raise AdminError(f"set {PEPPER}, or give --pepper: the file with the pepper that the edge has")
    try:
        return Peppers.read(Path(options.pepper))
    except (OSError, ValueError) as error:
        raise AdminError(str(error)) from error


@asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncIterator[Connection]:
    """A connection. Raises AdminError for all that can be wrong with it or with what is asked of it."""
    if not options.database:
        raise AdminError(f"set {URL} (or {OWNER_URL}), or give --database: postgresql://…")
    try:
        connection: psycopg.AsyncConnection[DictRow] = await psycopg.AsyncConnection.connect(
            options.database,
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=5,
            application_name="dormouse-admin",
        )
        async with connection:
            yield connection
    except psycopg.errors.InsufficientPrivilege as error:
        raise AdminError(f"this database role may not do that, the owner of the tables may: {_first(error)}") from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise AdminError("the database has not got the newest schema: run `python -m migrations` first") from error
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise AdminError(f"the database cannot be used: {_first(error)}") from error


@asynccontextmanager
async def tenant_transaction(options: argparse.Namespace, tenant: str) -> AsyncIterator[Connection]:
    """A transaction that sees one tenant. Raises AdminError where there is no such tenant."""
    async with opened(options) as connection, connection.transaction():
        await connection.execute("select set_config('dormouse.tenant', %s, true)", (tenant,))
        cursor = await connection.execute("select from tenants where id = %s", (tenant,))
        if await cursor.fetchone() is None:
            raise AdminError(f"there is no tenant {tenant!r}")
        yield connection


@asynccontextmanager
async def platform_transaction(options: argparse.Namespace) -> AsyncIterator[Connection]:
    """A transaction that sees all tenants, users and keys. For the owner of the tables only."""
    async with opened(options) as connection, connection.transaction():
        await connection.execute("select set_config('dormouse.maintenance', 'on', true)")
        yield connection


async def note(connection: Connection, tenant: str, action: str, target: str, **details: Any) -> None:
    """Into the tenant's audit log, as the last thing of a transaction."""
    await append(
        connection, Entry(tenant=tenant, actor=f"cli:{_operator()}", action=action, target=target, details=details)
    )


def _operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in containers
        return str(os.getuid())


def _first(error: psycopg.Error) -> str:
    """Its first line; what libpq says of connections names hosts, never passwords."""
    return (str(error).splitlines() or ["it does not say why"])[0]
