"""What a session's access tokens are worth on a replica that did not end it."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from edge.auth.access_tokens import AccessTokens
from edge.auth.authenticator import Authenticator
from edge.auth.believed import BELIEVED_S
from edge.auth.caller import Caller
from edge.auth.credentials import Credentials
from edge.auth.peppers import Peppers
from edge.auth.scopes import OF_ROLE, Role
from edge.auth.signing_keys import SigningKeys
from edge.database import Database
from edge.identity import sessions, users
from edge.identity.users import User

from tests.stack import Tenant


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def replica(database: Database, peppers: Peppers, clock: Clock) -> AsyncIterator[Credentials]:
    keys = SigningKeys(database, peppers, period_s=86_400, token_life_s=600)
    access = AccessTokens(keys, database, issuer="dormouse", life_s=600, clock=clock)
    authenticator = Authenticator(database, peppers)
    yield Credentials(authenticator, access, None)
    await authenticator.close()
    await access.close()
    await keys.close()


@pytest.fixture
async def ann(database: Database, tenant: Tenant) -> User:
    async with database.tenant(tenant.id) as connection:
        await users.create_user(connection, tenant.id, email="root@example.org", role=Role.ADMIN)
        return await users.create_user(connection, tenant.id, email="ann@example.org", role=Role.ADMIN)


@pytest.fixture
async def token(replica: Credentials, database: Database, ann: User, tenant: Tenant, peppers: Peppers) -> str:
    async with database.tenant(tenant.id) as connection:
        session = await sessions.begin(connection, tenant.id, ann.id, timedelta(hours=1), peppers)
    return await replica.access.mint(tenant.id, ann.id, session.session_id)


def role_of(caller: Caller | None) -> Role | None:
    return caller.role if caller is not None else None


@pytest.mark.parametrize("end", ["logout", "disabled", "role"])
async def test_what_is_changed_elsewhere_counts_within_a_minute(
    replica: Credentials, token: str, database: Database, ann: User, tenant: Tenant, clock: Clock, end: str
) -> None:
    assert role_of(await replica.authenticate(token)) is Role.ADMIN
    async with database.tenant(tenant.id) as connection:
        match end:
            case "logout":
                await sessions.end_sessions_of(connection, ann.id, "logout")
            case "disabled":
                await users.change_user(connection, ann.id, disabled=True)
            case "role":
                await users.change_user(connection, ann.id, role=Role.VIEWER)
    assert role_of(await replica.authenticate(token)) is Role.ADMIN, "it is believed for a while"
    clock.now += BELIEVED_S
    assert BELIEVED_S < 60
    caller = await replica.authenticate(token)
    assert role_of(caller) is (Role.VIEWER if end == "role" else None)
    if caller is not None:
        assert caller.scopes == OF_ROLE[Role.VIEWER]


async def test_a_session_ends_by_itself(
    replica: Credentials, token: str, database: Database, ann: User, tenant: Tenant, clock: Clock
) -> None:
    assert await replica.authenticate(token)
    async with database.tenant(tenant.id) as connection:
        await connection.execute("update sessions set expires_at = clock_timestamp() where user_id = %s", (ann.id,))
    clock.now += BELIEVED_S
    assert await replica.authenticate(token) is None


async def test_a_token_of_one_replica_is_good_on_every_other(
    replica: Credentials, token: str, database: Database, peppers: Peppers, ann: User
) -> None:
    keys = SigningKeys(database, peppers, period_s=86_400, token_life_s=600)
    other = AccessTokens(keys, database, issuer="dormouse", life_s=600)
    elsewhere = Credentials(replica.keys, other, None)
    try:
        caller = await elsewhere.authenticate(token)
        assert caller is not None
        assert (caller.user, bool(caller.session_id)) == (ann.id, True)
        assert caller == await replica.authenticate(token)
    finally:
        await other.close()
        await keys.close()


@pytest.mark.parametrize(("seconds", "is_theft"), [(8, False), (11, True)])
async def test_a_second_use_is_harmless_for_ten_seconds_and_theft_after(
    database: Database, ann: User, tenant: Tenant, peppers: Peppers, seconds: int, is_theft: bool
) -> None:
    async with database.tenant(tenant.id) as connection:
        begun = await sessions.begin(connection, tenant.id, ann.id, timedelta(hours=1), peppers)
        first = sessions.parse(begun.refresh_token)
        assert first is not None
        refreshed = await sessions.refresh(connection, first, peppers)
        assert isinstance(refreshed, sessions.Refreshed)
        await connection.execute(
            "update sessions set refreshed_at = clock_timestamp() - make_interval(secs => %s) where id = %s",
            (seconds, begun.session_id),
        )
        again = await sessions.refresh(connection, first, peppers)
        second = sessions.parse(refreshed.refresh_token)
        assert second is not None
        after = await sessions.refresh(connection, second, peppers)
    if is_theft:
        assert again == sessions.Reused(begun.session_id, ann.id)
        assert after is None
    else:
        assert again == refreshed
        assert isinstance(after, sessions.Refreshed)


async def test_a_refresh_token_outlives_a_change_of_pepper(
    database: Database, ann: User, tenant: Tenant, peppers: Peppers
) -> None:
    new = Peppers((b"a pepper that has come", *peppers.values))
    async with database.tenant(tenant.id) as connection:
        begun = await sessions.begin(connection, tenant.id, ann.id, timedelta(hours=1), peppers)
        old = sessions.parse(begun.refresh_token)
        assert old is not None
        refreshed = await sessions.refresh(connection, old, new)
        assert isinstance(refreshed, sessions.Refreshed)
        last = sessions.parse(refreshed.refresh_token)
        assert last is not None
        assert isinstance(await sessions.refresh(connection, last, Peppers(new.values[:1])), sessions.Refreshed)
        assert await sessions.refresh(connection, last, Peppers((b"a pepper of somebody else",))) is None
