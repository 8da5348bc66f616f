"""API keys: their form, and what is believed of them while Postgres comes and goes."""

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from devstack.credentials import make_api_key
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from edge.auth import keys
from edge.auth.authenticator import Authenticator
from edge.auth.believed import BELIEVED_S, REFRESH_S, STALE_S, UNKNOWN_S
from edge.auth.caller import Caller
from edge.auth.key_uses import KeyUses
from edge.auth.peppers import Peppers
from edge.database import Database

from tests.stack import Fleet, Stack, Tenant


def test_a_new_key_is_well_formed_and_so_are_those_that_other_parts_make() -> None:
    assert keys.is_well_formed(keys.generate())
    assert keys.is_well_formed(make_api_key())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key[:-1],
        lambda key: key + "a",
        lambda key: key + "\n",
        lambda key: key.replace("live", "test"),
        lambda key: key[:20] + ("a" if key[20] != "a" else "b") + key[21:],
        lambda key: key[:20] + "ä" + key[21:],
        lambda key: "",
    ],
)
def test_a_mistyped_key_is_known_without_asking(spoil: Callable[[str], str]) -> None:
    assert not keys.is_well_formed(spoil(keys.generate()))


def test_what_is_stored_is_a_mac() -> None:
    key = keys.generate()
    assert keys.mac(b"pepper", key) == hmac.new(b"pepper", key.encode(), hashlib.sha256).digest()


class Clock:
    """Time as the test wants it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def revoke(owner_url: str, tenant: Tenant) -> None:
    async with await psycopg.AsyncConnection.connect(owner_url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant.id])
        await connection.execute("update api_keys set revoked_at = now() where tenant_id = %s", [tenant.id])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def peppers(stack: Stack) -> Peppers:
    return Peppers.read(stack.credentials.pepper)


async def test_a_key_speaks_for_its_owner_and_an_unknown_one_for_nobody(
    stack: Stack, tenant: Tenant, clock: Clock, peppers: Peppers
) -> None:
    database = Database(stack.database.url)
    await database.open()
    authenticator = Authenticator(database, peppers, clock)
    try:
        answers = await asyncio.gather(*(authenticator.authenticate(tenant.api_key) for _ in range(50)))
        assert {(caller.tenant, caller.user) for caller in answers if caller} == {(tenant.id, tenant.user)}
        assert None not in answers
        stranger = keys.generate()
        assert await authenticator.authenticate(stranger) is None
        assert await authenticator.authenticate("dm_live_short") is None
    finally:
        await authenticator.close()
        await database.close()


async def test_a_revocation_counts_within_a_minute(
    stack: Stack, tenant: Tenant, clock: Clock, peppers: Peppers
) -> None:
    database = Database(stack.database.url)
    await database.open()
    authenticator = Authenticator(database, peppers, clock)
    try:
        assert await authenticator.authenticate(tenant.api_key)
        await revoke(stack.database.owner_url, tenant)
        clock.now += REFRESH_S - 1
        assert await authenticator.authenticate(tenant.api_key), "within the first seconds the memory is believed"
        clock.now += 2
        assert await authenticator.authenticate(tenant.api_key), "the question is under way"
        clock.now += BELIEVED_S - REFRESH_S
        assert BELIEVED_S < 60
        assert await authenticator.authenticate(tenant.api_key) is None
        clock.now += UNKNOWN_S + 1
        assert await authenticator.authenticate(tenant.api_key) is None
    finally:
        await authenticator.close()
        await database.close()


async def test_known_keys_outlive_a_database_that_is_away_and_unknown_ones_are_told_to_come_back(
    fleet: Fleet, clock: Clock, peppers: Peppers
) -> None:
    postgres = await fleet.postgres()
    tenant, other = await postgres.tenant(), await postgres.tenant()
    database = Database(postgres.url, timeout_s=0.3)
    await database.open()
    authenticator = Authenticator(database, peppers, clock)
    try:
        caller = await authenticator.authenticate(tenant.api_key)
        assert isinstance(caller, Caller)
        await postgres.stop()
        clock.now += BELIEVED_S + 1
        assert await authenticator.authenticate(tenant.api_key) == caller
        started = asyncio.get_running_loop().time()
        assert await authenticator.authenticate(tenant.api_key) == caller
        assert asyncio.get_running_loop().time() - started < 0.1, "nobody waits again for a database just found away"
        with pytest.raises(DormouseError) as caught:
            await authenticator.authenticate(other.api_key)
        assert caught.value.reason == ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE
        clock.now += STALE_S
        with pytest.raises(DormouseError):
            await authenticator.authenticate(tenant.api_key)
        await postgres.resume()
        async with asyncio.timeout(10):
            while True:
                try:
                    assert await authenticator.authenticate(other.api_key)
                    break
                except DormouseError:
                    await asyncio.sleep(0.1)
    finally:
        await authenticator.close()
        await database.close()


async def read_as(stack: Stack, tenant: Tenant, columns: str) -> tuple[Any, ...]:
    async with await psycopg.AsyncConnection.connect(stack.database.url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant.id])
        row = await (await connection.execute(f"select {columns} from api_keys".encode())).fetchone()
    assert row is not None
    return row


async def test_uses_are_written_later_and_for_many_keys_together(
    stack: Stack, tenant: Tenant, peppers: Peppers
) -> None:
    other = await stack.database.tenant()
    database = Database(stack.database.url)
    await database.open()
    authenticator = Authenticator(database, peppers, now=lambda: 1_700_000_000.0)
    try:
        for _ in range(3):
            await authenticator.authenticate(tenant.api_key)
            await authenticator.authenticate(other.api_key)
        assert await read_as(stack, tenant, "last_used_at") == (None,), "nothing is written on the way"
        await authenticator.uses.write()
        for who in (tenant, other):
            assert await read_as(stack, who, "extract(epoch from last_used_at)::bigint") == (1_700_000_000,)
        earlier = KeyUses(database, clock=lambda: 1_600_000_000.0)
        earlier.note((await read_as(stack, tenant, "id"))[0])
        await earlier.close()
        assert await read_as(stack, tenant, "extract(epoch from last_used_at)::bigint") == (1_700_000_000,)
    finally:
        await authenticator.close()
        await database.close()


async def test_uses_that_cannot_be_written_now_are_written_when_the_process_ends(
    stack: Stack, tenant: Tenant, peppers: Peppers
) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/none", timeout_s=0.2)
    database = Database(stack.database.url)
    await asyncio.gather(away.open(), database.open())
    uses = KeyUses(away)
    try:
        uses.note((await read_as(stack, tenant, "id"))[0])
        with pytest.raises(DormouseError):
            await uses.write()
        uses._database = database
        await uses.close()
        assert await read_as(stack, tenant, "last_used_at is not null") == (True,)
    finally:
        await asyncio.gather(away.close(), database.close())


async def test_a_pepper_is_replaced_without_a_key_that_stops_working(
    stack: Stack, tenant: Tenant, peppers: Peppers, tmp_path: Path
) -> None:
    file = tmp_path / "peppers"
    file.write_text("n" * 64 + "\n" + stack.credentials.pepper.read_text())
    both = Peppers.read(file)
    only_new = Peppers(both.values[:1])
    database = Database(stack.database.url)
    await database.open()

    async def knows(used: Peppers) -> bool:
        authenticator = Authenticator(database, used)
        try:
            return await authenticator.authenticate(tenant.api_key) is not None
        finally:
            await authenticator.close()

    try:
        assert not await knows(only_new)
        assert await knows(both)
        assert await read_as(stack, tenant, "pepper, mac") == (
            both.fingerprint,
            keys.mac(both.present, tenant.api_key),
        ), "a key that is used is under the new pepper from then on"
        assert await knows(only_new)
        assert not await knows(peppers)
    finally:
        await database.close()


@pytest.mark.parametrize("content", ["", "\n", "short", "p" * 32 + "\nshort"])
def test_a_pepper_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "peppers").write_text(content)
    with pytest.raises(ValueError, match="wants a pepper a line, of 16 characters or more each"):
        Peppers.read(tmp_path / "peppers")
