"""From an API key to its owner: a cache before Postgres that also lives through Postgres being away."""

import hashlib
import time
from collections.abc import Callable

from edge.database import Database
from edge.metrics import KEY_LOOKUPS

from . import keys
from .believed import Believed
from .caller import Caller
from .scopes import OF_ROLE, Role


class Authenticator:
    """Tells the owner of a key. Neither memory nor database hold keys: both know them by keyed hashes only."""

    def __init__(self, database: Database, pepper: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._pepper = pepper
        self._believed: Believed[bytes, Caller] = Believed(clock, lambda source: KEY_LOOKUPS.labels(source).inc())

    async def authenticate(self, key: str) -> Caller | None:
        """The key's owner; None when nobody's, or revoked.

        Raises DATABASE_UNAVAILABLE when the answer is neither known nor to be had.
        """
        if not keys.is_well_formed(key):
            KEY_LOOKUPS.labels("malformed").inc()
            return None
        # Memory's own hash: a tenth of the time that the database's takes.
        digest = hashlib.blake2b(key.encode("ascii"), key=self._pepper[:64], digest_size=32).digest()
        return await self._believed.get(digest, lambda: self._query(keys.mac(self._pepper, key)))

    async def close(self) -> None:
        """Ends what is under way."""
        await self._believed.close()

    async def _query(self, mac: bytes) -> Caller | None:
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                "select k.id, k.tenant_id, k.user_id, t.plan from api_keys k join tenants t on t.id = k.tenant_id"
                " where k.mac = %s and k.revoked_at is null",
                (mac,),
            )
            row = await cursor.fetchone()
        if row is None:
            return None
        role = Role.ADMIN
        return Caller(row["tenant_id"], row["user_id"], row["id"], role, OF_ROLE[role], plan=row["plan"])
