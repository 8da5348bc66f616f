"""Sessions: families of refresh tokens, of which the newest counts and an older one, used again, ends the family.

A refresh token's secret is made from the session's seed, the token's number and the pepper, so a session is one row
however often it is refreshed, and every token that it ever had can be told from a made-up one.

Two refreshes with the same token, by two tabs of one browser or a client whose answer got lost, are no theft: until
GRACE after its use, and as long as its successor has not been used, a token brings the same successor again. A thief
who is that fast shares a token with its owner: the one who uses it second, and later than that, ends the family.
"""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from edge.auth.peppers import Peppers
from edge.auth.scopes import Role
from edge.database import Connection
from edge.ids import is_session_id, new_session_id

from .secret_texts import SecretText, derived_secret

KIND: Final = "dm_refresh"
GRACE: Final = timedelta(seconds=10)
KEPT: Final = timedelta(days=7)
"""So long sessions that are over are kept, for people to see."""


@dataclass(frozen=True, slots=True)
class Session:
    """A login that goes on, or did."""

    id: str
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_by: str | None


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a login or a refresh brings."""

    session_id: str
    user_id: str
    role: Role
    refresh_token: str


@dataclass(frozen=True, slots=True)
class Reused:
    """A token that has been used before: its session is over now."""

    session_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class SessionState:
    """What a session's access tokens are worth just now."""

    user_id: str
    role: Role
    plan: str


def parse(text: str) -> SecretText | None:
    """None: it cannot be a refresh token."""
    return SecretText.parse(KIND, text)


async def begin(connection: Connection, tenant: str, user_id: str, lifetime: timedelta, peppers: Peppers) -> Refreshed:
    """A new session of the user; rows of theirs that are long over go."""
    await connection.execute(
        "delete from sessions where user_id = %s and least(expires_at, ended_at) < clock_timestamp() - %s::interval",
        (user_id, KEPT),
    )
    session_id, seed = new_session_id(), secrets.token_bytes(32)
    cursor = await connection.execute(
        """with made as (
               insert into sessions (tenant_id, id, user_id, seed, expires_at)
               values (%s, %s, %s, %s, clock_timestamp() + %s) returning user_id
           ) select u.role from made join users u on u.id = made.user_id""",
        (tenant, session_id, user_id, seed, lifetime),
    )
    row = await cursor.fetchone()
    assert row is not None, "the foreign key would have refused it"
    token = _token(tenant, session_id, 0, seed, peppers.present)
    return Refreshed(session_id, user_id, Role(row["role"]), token)


async def refresh(connection: Connection, token: SecretText, peppers: Peppers) -> Refreshed | Reused | None:
    """The next token of the session; Reused when this one had been used already; None: it is good for nothing.

    Locks the session's row until the transaction ends. Reused has to be committed like a success.
    """
    session_id, number = _name_of(token)
    if number is None:
        return None
    cursor = await connection.execute(
        """select s.user_id, s.seed, s.generation, u.role, clock_timestamp() - s.refreshed_at <= %s as is_fresh
           from sessions s join users u on u.tenant_id = s.tenant_id and u.id = s.user_id
           where s.id = %s and s.ended_at is null and s.expires_at > clock_timestamp() and u.disabled_at is null
           for update of s""",
        (GRACE, session_id),
    )
    row = await cursor.fetchone()
    if row is None or not _is_genuine(token, row["seed"], peppers):
        return None
    newest = row["generation"]
    if number == newest:
        newest += 1
        await connection.execute(
            "update sessions set generation = %s, refreshed_at = clock_timestamp() where id = %s", (newest, session_id)
        )
    elif number != newest - 1 or not row["is_fresh"]:
        await end_session(connection, session_id, "reuse")
        return Reused(session_id, row["user_id"])
    next_token = _token(token.tenant, session_id, newest, row["seed"], peppers.present)
    return Refreshed(session_id, row["user_id"], Role(row["role"]), next_token)


async def session_of(connection: Connection, token: SecretText, peppers: Peppers) -> tuple[str, str] | None:
    """Session and user of a refresh token, used or not, of a session that goes on."""
    session_id, number = _name_of(token)
    cursor = await connection.execute(
        "select user_id, seed from sessions where id = %s and ended_at is null", (session_id,)
    )
    row = await cursor.fetchone()
    if row is None or number is None or not _is_genuine(token, row["seed"], peppers):
        return None
    return session_id, row["user_id"]


async def end_session(connection: Connection, session_id: str, by: str, *, user_id: str | None = None) -> bool:
    """Whether there was one to end; with user_id only that user's."""
    cursor = await connection.execute(
        """update sessions set ended_at = clock_timestamp(), ended_by = %s
           where id = %s and ended_at is null and (%s::text is null or user_id = %s)""",
        (by, session_id, user_id, user_id),
    )
    return cursor.rowcount == 1


async def end_sessions_of(connection: Connection, user_id: str, by: str, *, but: str = "") -> Sequence[str]:
    """Ends all sessions of the user but one; the ids of those that went on until now."""
    cursor = await connection.execute(
        """update sessions set ended_at = clock_timestamp(), ended_by = %s
           where user_id = %s and ended_at is null and id <> %s returning id""",
        (by, user_id, but),
    )
    return [row["id"] for row in await cursor.fetchall()]


async def sessions_of(connection: Connection, user_id: str) -> Sequence[Session]:
    """The user's sessions that go on, the newest first; at most a hundred."""
    cursor = await connection.execute(
        """select id, created_at, refreshed_at, expires_at, ended_at, ended_by from sessions
           where user_id = %s and ended_at is null and expires_at > clock_timestamp()
           order by created_at desc limit 100""",
        (user_id,),
    )
    return [Session(**row) for row in await cursor.fetchall()]


async def state_of(connection: Connection, session_id: str) -> SessionState | None:
    """None: the session is over, or its user disabled."""
    cursor = await connection.execute(
        """select s.user_id, u.role, t.plan
           from sessions s
           join users u on u.tenant_id = s.tenant_id and u.id = s.user_id
           join tenants t on t.id = s.tenant_id
           where s.id = %s and s.ended_at is null and s.expires_at > clock_timestamp() and u.disabled_at is null""",
        (session_id,),
    )
    row = await cursor.fetchone()
    return SessionState(row["user_id"], Role(row["role"]), row["plan"]) if row is not None else None


def _token(tenant: str, session_id: str, number: int, seed: bytes, pepper: bytes) -> str:
    name = f"{session_id}.{number}"
    secret = derived_secret(pepper, seed, f"{tenant}:{name}")
    return str(SecretText(KIND, tenant, name, secret))


def _is_genuine(token: SecretText, seed: bytes, peppers: Peppers) -> bool:
    """Whether we have made it, under any of the peppers."""
    made = [derived_secret(pepper, seed, f"{token.tenant}:{token.name}") for pepper in peppers.values]
    fits = [hmac.compare_digest(secret, token.secret) for secret in made]
    return any(fits)


def _name_of(token: SecretText) -> tuple[str, int | None]:
    session_id, _, number = token.name.partition(".")
    is_one = is_session_id(session_id) and number.isascii() and number.isdecimal() and len(number) <= 9
    return session_id, int(number) if is_one and str(int(number)) == number else None
