"""The databases as the services see them: servers that exist already, and the schema in whichever it is."""

import asyncio
import hashlib
import importlib.util
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg

from devstack.credentials import Credentials
from devstack.errors import DevstackError, StartError
from devstack.process import Process
from devstack.services import migrations_program
from devstack.terminal import Report

MIGRATION_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Databases:
    """One Postgres database: URLs of the role that the services use and of the role that owns the tables."""

    application_url: str
    owner_url: str
    application_role: str


async def external(url: str, migrations_url: str) -> Databases:
    """A database that exists. DevstackError when it does not answer."""
    for name, checked in (("DORMOUSE_POSTGRES_URL", url), ("DORMOUSE_MIGRATIONS_POSTGRES_URL", migrations_url)):
        if not checked:
            continue
        try:
            async with await psycopg.AsyncConnection.connect(checked, connect_timeout=5) as connection:
                if name == "DORMOUSE_POSTGRES_URL":
                    role = connection.info.user
        except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
            reason = str(error).splitlines()[0].rpartition("failed: ")[2]
            raise DevstackError(f"{name}: the database does not answer: {reason}") from error
    return Databases(url, migrations_url or url, role)


async def bypass_warning(databases: Databases) -> str:
    """A sentence where row-level security does not bind the services; else empty."""
    async with await psycopg.AsyncConnection.connect(databases.application_url) as connection:
        query = "select rolsuper or rolbypassrls from pg_roles where rolname = current_user"
        row = await (await connection.execute(query)).fetchone()
    role = databases.application_role
    if row == (True,):
        return (
            f"Warning: the role {role} of DORMOUSE_POSTGRES_URL is not bound by row-level security, so the database"
            " does not separate tenants. Use a role without SUPERUSER and BYPASSRLS, and name the owner of the tables"
            " in DORMOUSE_MIGRATIONS_POSTGRES_URL."
        )
    if databases.owner_url == databases.application_url:
        return (
            f"Warning: the role {role} of DORMOUSE_POSTGRES_URL owns the tables, so it could switch row-level"
            " security off. Name the owner in DORMOUSE_MIGRATIONS_POSTGRES_URL and give the services a role of their"
            " own."
        )
    return ""


async def migrate(
    databases: Databases,
    credentials: Credentials,
    recorded: dict[str, str],
    environ: Mapping[str, str],
    logs: Path,
    report: Report,
) -> dict[str, str]:
    """Bring the schema up to date and return a record for the next time.

    Where `recorded` and the database agree that nothing has changed, `python -m migrations` is not even started.
    """
    current = {"digest": _digest(credentials, databases), "revision": await _revision(databases.owner_url)}
    if current["revision"] and current == recorded:
        return recorded
    started = time.monotonic()
    program = migrations_program(
        environ,
        postgres_url=databases.owner_url,
        bootstrap_key=credentials.api_key_file,
        pepper=credentials.pepper,
        application_role=databases.application_role,
    )
    process = Process(
        "migrations",
        program.argv,
        env=program.env,
        log=logs / "migrations.log",
        on_line=lambda line: report.step(f"migrations: {line}"),
    )
    await process.start()
    try:
        async with asyncio.timeout(MIGRATION_TIMEOUT_S):
            code = await process.wait()
    except BaseException:
        await process.kill()
        raise
    await asyncio.to_thread(process.log.join)
    if code != 0:
        raise StartError("migrations", f"ended with exit code {code}", list(process.log.tail))
    report.step(f"migrations: done ({time.monotonic() - started:.1f} s)")
    return {**current, "revision": await _revision(databases.owner_url)}


async def check(redis_url: str) -> bool:
    """Whether something accepts connections there."""
    parts = urlsplit(redis_url)
    try:
        async with asyncio.timeout(2):
            if parts.scheme == "unix":
                _, writer = await asyncio.open_unix_connection(unquote(parts.path))
            else:
                _, writer = await asyncio.open_connection(parts.hostname or "127.0.0.1", parts.port or 6379)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _digest(credentials: Credentials, databases: Databases) -> str:
    """Of all that an upgrade depends on: the revisions, the database and its roles, and the key that it adds."""
    found = importlib.util.find_spec("migrations")
    folder = Path(found.submodule_search_locations[0]) if found and found.submodule_search_locations else None
    hashed = hashlib.sha256(f"{databases.owner_url} {databases.application_role}".encode())
    for path in sorted(folder.rglob("*.py")) if folder else ():
        hashed.update(path.name.encode() + path.read_bytes())
    hashed.update(credentials.pepper.read_bytes() + credentials.api_key.encode())
    return hashed.hexdigest()


async def _revision(url: str) -> str:
    """The revision that the database says it has. Empty: none."""
    try:
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=5) as connection:
            row = await (await connection.execute("select version_num from alembic_version")).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        return ""
    return str(row[0]) if row else ""
