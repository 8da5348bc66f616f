"""From an API key to its owner: a cache before Postgres that also lives through Postgres being away."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

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
"""Known keys, and as many unknown ones: strangers cannot push the known ones out."""


V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request speaks for."""

    tenant: str
    user: str
    key_id: str


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    asked_at: float


class Authenticator:
    """Tells the owner of a key. Neither memory nor database hold keys: both know them by keyed hashes only."""

    def __init__(self, database: Database, pepper: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._pepper = pepper
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self._unknown: dict[bytes, float] = {}
        self._asking: dict[bytes, asyncio.Task[Caller | None]] = {}
        self._failed_at = float("-inf")

    async def authenticate(self, key: str) -> Caller | None:
        """The key's owner; None when nobody's, or revoked.

        Raises DATABASE_UNAVAILABLE when the answer is neither known nor to be had.
        """
        if not keys.is_well_formed(key):
            KEY_LOOKUPS.labels("malformed").inc()
            return None
        # Memory's own hash: a tenth of the time that the database's takes.
        digest = hashlib.blake2b(key.encode("ascii"), key=self._pepper[:64], digest_size=32).digest()
        known = self._known.get(digest)
        now = self._clock()
        if known is None:
            if now - self._unknown.get(digest, float("-inf")) < UNKNOWN_S:
                KEY_LOOKUPS.labels("memory").inc()
                return None
            return await self._look_up(digest, key)
        age = now - known.asked_at
        if age < BELIEVED_S:
            if age >= REFRESH_S:
                self._ask(digest, key)
            KEY_LOOKUPS.labels("memory").inc()
            return known.caller
        return await self._look_up_or_trust(digest, key, known.caller, age)

    async def close(self) -> None:
        """Ends what is under way."""
        for task in tuple(self._asking.values()):
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _look_up_or_trust(self, digest: bytes, key: str, caller: Caller, age: float) -> Caller | None:
        try:
            if age < STALE_S and self._clock() - self._failed_at < PAUSE_S:
                KEY_LOOKUPS.labels("stale").inc()
                return caller
            return await self._look_up(digest, key)
        except DormouseError as error:
            if error.reason != ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE or age >= STALE_S:
                raise
            KEY_LOOKUPS.labels("stale").inc()
            return caller

    async def _look_up(self, digest: bytes, key: str) -> Caller | None:
        KEY_LOOKUPS.labels("database").inc()
        return await asyncio.shield(self._ask(digest, key))

    def _ask(self, digest: bytes, key: str) -> asyncio.Task[Caller | None]:
        """Requests with the same key that arrive together share one question."""
        task = self._asking.get(digest)
        if task is None:
            task = self._asking[digest] = asyncio.create_task(self._query(digest, keys.mac(self._pepper, key)))
            task.add_done_callback(lambda task: self._answered(digest, task))
        return task

    def _answered(self, digest: bytes, task: asyncio.Task[Caller | None]) -> None:
        self._asking.pop(digest, None)
        if not task.cancelled() and task.exception() is not None:
            self._failed_at = self._clock()

    async def _query(self, digest: bytes, mac: bytes) -> Caller | None:
        asked_at = self._clock()
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                "select id, tenant_id, user_id from api_keys where mac = %s and revoked_at is null", (mac,)
            )
            row = await cursor.fetchone()
        self._known.pop(digest, None)
        self._unknown.pop(digest, None)
        if row is None:
            _put(self._unknown, digest, asked_at)
            return None
        caller = Caller(row["tenant_id"], row["user_id"], row["id"])
        _put(self._known, digest, _Known(caller, asked_at))
        return caller


def _put(cache: dict[bytes, V], digest: bytes, value: V) -> None:
    while len(cache) >= CACHE_LIMIT:
        del cache[next(iter(cache))]
    cache[digest] = value
