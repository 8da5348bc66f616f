"""When keys were used last: remembered at once, written for many keys together now and then."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from dormouse_runtime.errors import DormouseError

from edge.database import Database

WRITE_EVERY_S: Final = 60.0
_BATCH: Final = 1000
_log = logging.getLogger(__name__)


class KeyUses:
    """Of one process. What it has not written when it is killed is lost: these are hints for people."""

    def __init__(
        self, database: Database, every_s: float = WRITE_EVERY_S, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._every_s = every_s
        self._clock = clock
        self._latest: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    def note(self, key_id: str) -> None:
        """The key is used now. Costs next to nothing."""
        self._latest[key_id] = self._clock()
        if self._task is None:
            self._task = asyncio.create_task(self._write_on())

    async def write(self) -> None:
        """Writes what has come up since the last time. Raises DATABASE_UNAVAILABLE; nothing is lost by that."""
        while self._latest:
            batch = dict(list(self._latest.items())[:_BATCH])
            moments = [datetime.fromtimestamp(moment, UTC) for moment in batch.values()]
            async with self._database.connection() as connection:
                await connection.execute(
                    "select note_api_key_uses(%s::text[], %s::timestamptz[])", (list(batch), moments)
                )
            for key_id, moment in batch.items():
                if self._latest.get(key_id) == moment:
                    del self._latest[key_id]

    async def close(self) -> None:
        """Writes what is left, if that can be done soon."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        with contextlib.suppress(DormouseError, TimeoutError):
            async with asyncio.timeout(1):
                await self.write()

    async def _write_on(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.write()
            except DormouseError as error:
                _log.info("uses of keys are written later", extra={"cause": error.message})
