"""The steps of one upgrade, under a lock that lets only one of them work at a time."""

import logging
import time
from contextlib import closing
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from migrations.bootstrap import add_bootstrap_key
from migrations.grants import grant
from migrations.settings import Settings

log = logging.getLogger("migrations")

# Any number that nothing else locks: "dormouse" in base 36, cut to what Postgres takes.
LOCK = 1_067_313_584_622 % 2**31


class DatabaseUnreachableError(Exception):
    """The database did not answer in time."""


def upgrade(settings: Settings) -> None:
    """Wait for the database, apply what is missing, grant the application role its rights, add the bootstrap key.

    Every step is idempotent and each revision is a transaction of its own, so that an upgrade that was cut off goes on
    where it was. Raises DatabaseUnreachableError, psycopg.Error, sqlalchemy.exc.SQLAlchemyError.
    """
    started = time.monotonic()
    with closing(_connect(settings)) as connection:
        found = connection.execute("select pg_try_advisory_lock(%s)", [LOCK]).fetchone()
        if found != (True,):
            log.info("another upgrade is under way; waiting for it")
            connection.execute("select pg_advisory_lock(%s)", [LOCK])
        before = _revision(connection)
        _apply(settings.postgres_url)
        after = _revision(connection)
        grant(connection, settings.application_role)
        if settings.bootstrap_key is not None and settings.pepper is not None:
            add_bootstrap_key(connection, settings.bootstrap_key, settings.pepper)
    what = f"schema {after} was current" if before == after else f"schema {before or 'empty'} -> {after}"
    log.info("%s (%.1f s)", what, time.monotonic() - started)


def _connect(settings: Settings) -> psycopg.Connection:
    deadline = time.monotonic() + settings.wait_s
    said = ""
    while True:
        try:
            return psycopg.connect(settings.postgres_url, autocommit=True, connect_timeout=5)
        except psycopg.OperationalError as error:
            reason = str(error).splitlines()[0].rpartition("failed: ")[2]
        if time.monotonic() > deadline:
            raise DatabaseUnreachableError(f"the database did not answer within {settings.wait_s:g} s: {reason}")
        if reason != said:
            log.info("waiting for the database: %s", reason)
            said = reason
        time.sleep(0.2)


def _apply(url: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    # A creator rather than an SQLAlchemy URL: libpq understands its own URLs best.
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _revision(connection: psycopg.Connection) -> str | None:
    found = connection.execute("select to_regclass('alembic_version') is not null").fetchone()
    if found != (True,):
        return None
    row = connection.execute("select version_num from alembic_version").fetchone()
    return row[0] if row else None
