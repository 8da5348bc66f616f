"""The keys of access tokens: they change without anybody noticing, for all replicas at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import jwt
import psycopg
import pytest
from edge.auth.peppers import Peppers
from edge.auth.signing_keys import MARGIN_S, SigningKeys
from edge.database import Database

from tests.stack import Stack
from tests.stack.database import Database as Postgres

DAY = 86_400.0
LIFE_S = 600.0
PEPPERS = Peppers((b"one pepper of a test",))
Open = Callable[..., Awaitable[SigningKeys]]


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
async def postgres(stack: Stack) -> AsyncIterator[Postgres]:
    """Of its own: the time in it is not that of others."""
    async with stack.fleet() as fleet:
        yield await fleet.postgres()


@pytest.fixture
async def replica(postgres: Postgres, clock: Clock) -> AsyncIterator[Open]:
    """`replica()` is what one more replica knows of the keys, of which there are none at the start."""
    async with await psycopg.AsyncConnection.connect(postgres.owner_url) as connection:
        await connection.execute("delete from signing_keys")
    opened: list[tuple[SigningKeys, Database]] = []

    async def open_keys(peppers: Peppers = PEPPERS) -> SigningKeys:
        database = Database(postgres.url, max_connections=2)
        await database.open()
        keys = SigningKeys(database, peppers, period_s=30 * DAY, token_life_s=LIFE_S, clock=clock)
        opened.append((keys, database))
        return keys

    yield open_keys
    for keys, database in opened:
        await keys.close()
        await database.close()


async def sign(keys: SigningKeys) -> str:
    key_id, private = await keys.signer()
    return jwt.encode({"a": 1}, private, "EdDSA", {"kid": key_id})


async def is_good(keys: SigningKeys, token: str) -> bool:
    key = await keys.find(jwt.get_unverified_header(token)["kid"])
    return key is not None and jwt.decode(token, key, ["EdDSA"]) == {"a": 1}


async def published(keys: SigningKeys) -> set[str]:
    return {str(jwk["kid"]) for jwk in await keys.published()}


async def test_replicas_that_start_together_make_one_key(replica: Open) -> None:
    replicas = [await replica() for _ in range(5)]
    signers = await asyncio.gather(*(keys.signer() for keys in replicas))
    assert len({key_id for key_id, _ in signers}) == 1


async def test_a_key_is_published_before_it_signs_and_until_its_last_token_is_gone(replica: Open, clock: Clock) -> None:
    first, second = await replica(), await replica()
    token = await sign(first)
    (old,) = await published(second)
    clock.now += 29 * DAY - 60
    await first.read()
    assert await published(first) == {old}, "it is not time yet"
    clock.now += 120
    await asyncio.gather(first.read(), second.read())
    both = await published(first)
    assert len(both) == 2
    assert await published(second) == both
    assert (await first.signer())[0] == old, "known a day before it is used"
    clock.now += DAY
    (new,) = both - {old}
    assert (await second.signer())[0] == new, "without another look"
    assert await is_good(second, token)
    clock.now += LIFE_S + MARGIN_S
    assert not await is_good(second, token)
    assert await published(second) == {new}


async def test_a_replica_that_missed_a_key_looks_for_it_when_a_token_comes(replica: Open, clock: Clock) -> None:
    late = await replica()
    await late.signer()
    clock.now += 90 * DAY
    token = await sign(await replica())
    late._read_at = float("-inf")  # as if its last look were long ago
    assert await is_good(late, token)


async def test_a_private_key_is_stored_encrypted_and_another_pepper_only_verifies(
    replica: Open, postgres: Postgres
) -> None:
    ours = await replica()
    token = await sign(ours)
    _, private = await ours.signer()
    async with await psycopg.AsyncConnection.connect(postgres.owner_url) as connection:
        row = await (await connection.execute("select signing_keys::text from signing_keys")).fetchone()
    assert row is not None
    assert private.private_bytes_raw().hex() not in row[0]
    other = await replica(Peppers((b"another pepper altogether",)))
    assert await is_good(other, token)
    assert (await other.signer())[0] != (await ours.signer())[0]
    changing = await replica(Peppers((b"another pepper altogether", *PEPPERS.values)))
    assert await is_good(changing, await sign(ours))
    assert await is_good(changing, await sign(other))
