"""From an API key to its owner: a cache before Postgres that also lives through Postgres being away."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge.database import Database
from edge.metrics import KEY_LOOKUPS

from . import keys
from .believed import Believed
from .caller import Caller, Grants
from .key_uses import KeyUses
from .peppers import Peppers
from .scopes import OF_ROLE, Role

FIND = "select * from find_api_key(%s::bytea[])"
RENEW = "select renew_api_key_mac(%s, %s, %s)"


@dataclass(frozen=True, slots=True)
class _Key:
    caller: Caller
    good_until: float
    """Seconds since the epoch."""


class Authenticator:
    """Tells the owner of a key. Neither memory nor database hold keys: both know them by keyed hashes only."""

    def __init__(
        self,
        database: Database,
        peppers: Peppers,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._peppers = peppers
        self._now = now
        self._believed: Believed[bytes, _Key] = Believed(clock, lambda source: KEY_LOOKUPS.labels(source).inc())
        self.uses = KeyUses(database, clock=now)

    async def authenticate(self, key: str) -> Caller | None:
        """The key's owner; None when nobody's, revoked or expired.

        Raises DATABASE_UNAVAILABLE when the answer is neither known nor to be had.
        """
        if not keys.is_well_formed(key):
            KEY_LOOKUPS.labels("malformed").inc()
            return None
        # Memory's own hash: a tenth of the time that the database's takes.
        digest = hashlib.blake2b(key.encode("ascii"), key=self._peppers.present[:64], digest_size=32).digest()
        found = await self._believed.get(digest, lambda: self._query(key))
        if found is None or found.good_until <= self._now():
            return None
        self.uses.note(found.caller.key_id)
        return found.caller

    def forget(self, key_id: str) -> None:
        """The next use of the key asks Postgres. For what this process has changed itself; others hear within 60 s."""
        self._believed.forget_where(lambda known: known.caller.key_id == key_id)

    async def close(self) -> None:
        """Ends what is under way."""
        await self._believed.close()
        await self.uses.close()

    async def _query(self, key: str) -> _Key | None:
        macs = self._peppers.macs(key)
        async with self._database.connection() as connection:
            row = await (await connection.execute(FIND, (macs,))).fetchone()
            if row is not None and row["mac"] != macs[0]:
                await connection.execute(RENEW, (row["mac"], macs[0], self._peppers.fingerprint))
        return None if row is None else _key(row)


def _key(row: Mapping[str, Any]) -> _Key:
    role = Role(row["role"])
    scopes = OF_ROLE[role]
    if row["scopes"] is not None:
        scopes = frozenset(scope for scope in scopes if scope in row["scopes"])
    grants = Grants(*(None if row[name] is None else frozenset(row[name]) for name in ("agents", "models", "tools")))
    until = row["good_until"]
    caller = Caller(row["tenant_id"], row["user_id"], row["id"], role, scopes, grants, row["plan"], expires_at=until)
    return _Key(caller, float("inf") if until is None else until.timestamp())
