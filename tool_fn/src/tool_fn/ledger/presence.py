"""A sign of life in Postgres: a lock that other processes find free in the moment this one dies, however it dies."""

import asyncio
import logging
import secrets
from contextlib import suppress
from typing import Final

import psycopg
from dormouse_runtime.postgres import CONNECTION_OPTIONS, Connection
from psycopg import sql

_logger = logging.getLogger(__name__)
_AGAIN_S: Final = 0.2

# The lock lasts as long as a transaction that never ends: unlike a session's, it does not survive its client behind a
# pooler. Such a transaction may not be ended for being idle, and a client whose machine is gone shall be noticed soon.
_SETTINGS: Final = """
    select set_config(name, value, true)
    from (values ('idle_in_transaction_session_timeout', '0'), ('transaction_timeout', '0'), ('statement_timeout', '0'),
                 ('tcp_keepalives_idle', '5'), ('tcp_keepalives_interval', '2'), ('tcp_keepalives_count', '3'))
         as wanted (name, value)
    join pg_settings using (name)
"""


class Presence:
    """Holds the lock `owner`, a random number of this process; takes it again when the connection was lost."""

    def __init__(self, url: str) -> None:
        self.owner = secrets.randbits(63)
        self._url = url
        self._held = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def held(self) -> None:
        """Returns when the lock is held, as far as one can know here."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep())
        await self._held.wait()

    async def aclose(self) -> None:
        """Gives the lock up."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _keep(self) -> None:
        while True:
            try:
                await self._hold()
            except psycopg.Error as error:
                _logger.debug("the sign of life is away", extra={"error": type(error).__name__})
            finally:
                self._held.clear()
            await asyncio.sleep(_AGAIN_S)

    async def _hold(self) -> None:
        connection: Connection
        connection = await psycopg.AsyncConnection.connect(
            self._url,
            application_name="dormouse-tool-fn",
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            **CONNECTION_OPTIONS,
        )
        try:
            await connection.execute("begin")
            await connection.execute(_SETTINGS)
            # Without a parameter it goes over the simple protocol, which leaves no portal open: that would keep its
            # snapshot, and with it every dead row of the database, for as long as this process lives.
            await connection.execute(sql.SQL("select pg_advisory_xact_lock({})").format(sql.Literal(self.owner)))
            self._held.set()
            async for _ in connection.notifies():
                pass  # nobody notifies: this is the wait for the connection's end
        finally:
            await connection.close()
