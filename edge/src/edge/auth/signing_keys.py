"""The key pairs that sign access tokens: in Postgres, shared by all replicas, changed without anybody noticing.

A key is published LEAD before it signs and verified until the last token that it has signed is gone. Whichever replica
first sees that a successor is due makes it, under a lock. Private keys are stored encrypted under the pepper.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.keys import generate_key, private_key_from_jwk, public_bytes_from_jwk
from psycopg.types.json import Jsonb

from edge.database import Connection, Database

from .peppers import Peppers

REFRESH_S: Final = 60.0
"""How often each replica looks for new keys."""

PAUSE_S: Final = 5.0
"""How often at most a key that nobody knows makes a replica look."""

LEAD_S: Final = 24 * 3600.0
"""So long a key is published before it signs, or a quarter of the period where that is shorter."""

MARGIN_S: Final = 600.0
"""Verified so much longer than its last token lives: clocks differ."""

_NONCE_BYTES: Final = 12
_log = logging.getLogger("edge.signing_keys")


@dataclass(frozen=True, slots=True)
class _Key:
    id: str
    public: Ed25519PublicKey
    public_jwk: Mapping[str, Any]
    private: Ed25519PrivateKey | None
    """None: encrypted under a pepper that is not ours. Its tokens are good all the same."""
    signs_from: float
    signs_until: float
    verifies_until: float


class SigningKeys:
    """What this replica knows of the keys. period_s: how long each signs; token_life_s: how long its tokens live."""

    def __init__(
        self,
        database: Database,
        peppers: Peppers,
        *,
        period_s: float,
        token_life_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._ciphers = [_cipher(pepper) for pepper in peppers.values]
        self._period_s = period_s
        self._lead_s = min(LEAD_S, period_s / 4)
        self._token_life_s = token_life_s
        self._clock = clock
        self._keys: dict[str, _Key] = {}
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    def knows(self, key_id: str) -> bool:
        """Whether tokens with this key are good as far as is known here."""
        key = self._keys.get(key_id)
        return key is not None and key.verifies_until > self._clock()

    async def find(self, key_id: str) -> Ed25519PublicKey | None:
        """The public key. Looks into Postgres for one that is unknown, once in PAUSE_S at most.

        Raises DATABASE_UNAVAILABLE where nothing has been read yet.
        """
        if not self.knows(key_id) and time.monotonic() - self._read_at > PAUSE_S:
            try:
                await self.read()
            except DormouseError:
                if not self._keys:
                    raise
        return self._keys[key_id].public if self.knows(key_id) else None

    async def signer(self) -> tuple[str, Ed25519PrivateKey]:
        """Id and private key to sign with now. Raises DATABASE_UNAVAILABLE."""
        found = self._signer()
        if found is None:
            await self.read()
            found = self._signer()
        assert found is not None, "reading leaves a key that signs"
        return found

    async def published(self) -> list[Mapping[str, Any]]:
        """Public JWKs of all keys that tokens are, were or will soon be signed with. Raises DATABASE_UNAVAILABLE."""
        if not self._keys:
            await self.read()
        now = self._clock()
        return [key.public_jwk for key in self._keys.values() if key.verifies_until > now]

    async def read(self) -> None:
        """Reads the keys, and makes what is missing. Who comes meanwhile waits for the same. DATABASE_UNAVAILABLE."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(self._has_read)
        await asyncio.shield(self._reading)

    async def keep(self) -> None:
        """Looks for new keys every REFRESH_S, and makes them in time; until cancelled."""
        while True:
            try:
                await self.read()
            except DormouseError as error:
                _log.warning("signing keys cannot be read now", extra={"cause": error.message})
            except Exception:  # noqa: BLE001 - the edge of a task that has to go on
                _log.exception("signing keys cannot be read because of a defect")
            await asyncio.sleep(REFRESH_S)

    async def close(self) -> None:
        """Ends what is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    def _signer(self) -> tuple[str, Ed25519PrivateKey] | None:
        now = self._clock()
        usable = [key for key in self._keys.values() if key.private is not None and now < key.signs_until]
        # The newest whose time has come; after one was withdrawn its successor, before its time.
        begun = [key for key in usable if key.signs_from <= now]
        usable.sort(key=lambda key: (key.signs_from, key.id))
        chosen = max(begun, key=lambda key: (key.signs_from, key.id)) if begun else next(iter(usable), None)
        return None if chosen is None or chosen.private is None else (chosen.id, chosen.private)

    def _has_read(self, task: "asyncio.Task[None]") -> None:
        self._reading = None
        if not task.cancelled():
            task.exception()  # whoever waits for it hears of it

    async def _read(self) -> None:
        self._read_at = time.monotonic()
        async with self._database.connection() as connection:
            keys = await self._select(connection)
            if self._successor_start(keys) is not None:
                async with connection.transaction():
                    await connection.execute("select pg_advisory_xact_lock(hashtext('dormouse signing keys'))")
                    keys = await self._select(connection)
                    start = self._successor_start(keys)
                    if start is not None:
                        await self._make(connection, start)
                        keys = await self._select(connection)
        self._keys = keys

    def _successor_start(self, keys: Mapping[str, _Key]) -> float | None:
        """When the key would begin to sign that is due to be made; None: none is."""
        now = self._clock()
        last = max((key.signs_until for key in keys.values() if key.private is not None), default=now)
        return max(last, now) if last - self._lead_s <= now else None

    async def _select(self, connection: Connection) -> dict[str, _Key]:
        cursor = await connection.execute(
            "select * from signing_keys where verifies_until > %s order by signs_from, id", (_moment(self._clock()),)
        )
        return {row["id"]: self._key(row) for row in await cursor.fetchall()}

    async def _make(self, connection: Connection, start: float) -> None:
        private, public = generate_key()
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._ciphers[0].encrypt(nonce, json.dumps(private).encode(), public["kid"].encode())
        end = start + self._period_s
        await connection.execute(
            "insert into signing_keys (id, public_jwk, private_key, signs_from, signs_until, verifies_until)"
            " values (%s, %s, %s, %s, %s, %s)",
            (
                public["kid"],
                Jsonb(public),
                sealed,
                _moment(start),
                _moment(end),
                _moment(end + self._token_life_s + MARGIN_S),
            ),
        )
        await connection.execute(
            "delete from signing_keys where verifies_until < %s", (_moment(self._clock() - self._period_s),)
        )
        _log.info("a new key for access tokens", extra={"kid": public["kid"], "signs_from": str(_moment(start))})

    def _key(self, row: Mapping[str, Any]) -> _Key:
        return _Key(
            id=row["id"],
            public=Ed25519PublicKey.from_public_bytes(public_bytes_from_jwk(row["public_jwk"])),
            public_jwk=row["public_jwk"],
            private=self._open(row["id"], row["private_key"]),
            signs_from=row["signs_from"].timestamp(),
            signs_until=row["signs_until"].timestamp(),
            verifies_until=row["verifies_until"].timestamp(),
        )

    def _open(self, key_id: str, sealed: bytes) -> Ed25519PrivateKey | None:
        nonce, text = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        for cipher in self._ciphers:
            try:
                return private_key_from_jwk(json.loads(cipher.decrypt(nonce, text, key_id.encode())))
            except InvalidTag:
                continue
        return None


@asynccontextmanager
async def open_signing_keys(keys: SigningKeys) -> AsyncIterator[SigningKeys]:
    """The keys, kept fresh."""
    keeper = asyncio.create_task(keys.keep())
    try:
        yield keys
    finally:
        keeper.cancel()
        await asyncio.wait([keeper])
        await keys.close()


async def withdraw(connection: Connection, key_id: str) -> bool:
    """Ends a key that has become known to somebody: its tokens are refused everywhere within REFRESH_S.

    Whether there was such a key. Replicas then make another.
    """
    cursor = await connection.execute("delete from signing_keys where id = %s", (key_id,))
    return cursor.rowcount == 1


def _cipher(pepper: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, None, b"dormouse signing keys").derive(pepper))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
