"""From an API key to its owner: a cache before Postgres that also lives through Postgres being away."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

from edge.database import Database
from edge.metrics import KEY_LOOKUPS

from . import keys

REFRESH_S: Final = 40.0
"""After so long a known key is looked up again, while it is still believed."""

BELIEVED_S: Final = 57.0
"""After so long a known key is not believed before it was looked up: a revocation counts within 60 s."""

STALE_S: Final = 3600.0
"""So long a known key is believed while Postgres cannot be asked."""

UNKNOWN_S: Final = 5.0
"""So long an unknown key is refused without asking."""

PAUSE_S: Final = 1.0
"""So long nobody waits for Postgres on behalf of a known key after it has failed to answer."""

CACHE_LIMIT: Final = 20_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request speaks for."""

    tenant: str
    user: str
    key_id: str


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller | None
    asked_at: float


class Authenticator:
    """Tells the owner of a key. Only MACs of keys are kept in memory and in the database."""

    def __init__(self, database: Database, pepper: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._pepper = pepper
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self._asking: dict[bytes, asyncio.Task[Caller | None]] = {}
        self._failed_at = float("-inf")

    async def authenticate(self, key: str) -> Caller | None:
        """The key's owner; None when nobody's, or revoked.

        Raises DATABASE_UNAVAILABLE when the answer is neither known nor to be had.
        """
        if not keys.is_well_formed(key):
            KEY_LOOKUPS.labels("malformed").inc()
            return None
        mac = keys.mac(self._pepper, key)
        known = self._known.get(mac)
        if known is None:
            return await self._look_up(mac)
        age = self._clock() - known.asked_at
        if known.caller is None:
            return None if age < UNKNOWN_S else await self._look_up(mac)
        if age < BELIEVED_S:
            if age >= REFRESH_S:
                self._ask(mac)
            KEY_LOOKUPS.labels("memory").inc()
            return known.caller
        return await self._look_up_or_trust(mac, known.caller, age)

    async def close(self) -> None:
        """Ends what is under way."""
        for task in tuple(self._asking.values()):
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _look_up_or_trust(self, mac: bytes, caller: Caller, age: float) -> Caller | None:
        try:
            if age < STALE_S and self._clock() - self._failed_at < PAUSE_S:
                KEY_LOOKUPS.labels("stale").inc()
                return caller
            return await self._look_up(mac)
        except DormouseError as error:
            if error.reason != ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE or age >= STALE_S:
                raise
            KEY_LOOKUPS.labels("stale").inc()
            return caller

    async def _look_up(self, mac: bytes) -> Caller | None:
        KEY_LOOKUPS.labels("database").inc()
        return await asyncio.shield(self._ask(mac))

    def _ask(self, mac: bytes) -> asyncio.Task[Caller | None]:
        """Requests with the same key that arrive together share one question."""
        task = self._asking.get(mac)
        if task is None:
            task = self._asking[mac] = asyncio.create_task(self._query(mac))
            task.add_done_callback(lambda task: self._answered(mac, task))
        return task

    def _answered(self, mac: bytes, task: asyncio.Task[Caller | None]) -> None:
        self._asking.pop(mac, None)
        if not task.cancelled() and task.exception() is not None:
            self._failed_at = self._clock()

    async def _query(self, mac: bytes) -> Caller | None:
        asked_at = self._clock()
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                "select id, tenant_id, user_id from api_keys where mac = %s and revoked_at is null", (mac,)
            )
            row = await cursor.fetchone()
        caller = None if row is None else Caller(row["tenant_id"], row["user_id"] or "", row["id"])
        self._known.pop(mac, None)
        while len(self._known) >= CACHE_LIMIT:
            del self._known[next(iter(self._known))]
        self._known[mac] = _Known(caller, asked_at)
        return caller
