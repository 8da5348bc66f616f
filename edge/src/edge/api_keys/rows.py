"""API keys as rows. Every function works on the rows that its connection sees: one tenant's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

from edge.auth import keys
from edge.auth.caller import Grants
from edge.auth.peppers import Peppers
from edge.auth.scopes import Role, Scope
from edge.database import Connection
from edge.errors import ApiError
from edge.ids import is_key_id, new_key_id

from .powers import Powers

PREFIX_LENGTH: Final = 16
KEYS_LIMIT: Final = 1000
"""Of one tenant, those that are revoked not counted."""

_GET: Final = "select * from api_keys where id = %s and revoked_at is null"
_GET_AND_LOCK: Final = "select * from api_keys where id = %s and revoked_at is null for update"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """All that is known of a key; its secret is not."""

    id: str
    name: str
    prefix: str
    user: str
    powers: Powers
    created_at: datetime
    created_by: str
    last_used_at: datetime | None
    rotated_at: datetime | None
    previous_until: datetime | None
    """So long the secret from before the last rotation works too."""


@dataclass(frozen=True, slots=True)
class KeyPage:
    """Some keys, newest first, and whether there are more."""

    keys: Sequence[ApiKey]
    has_more: bool


async def create_key(
    connection: Connection,
    tenant: str,
    *,
    user: str,
    name: str,
    powers: Powers,
    peppers: Peppers,
    created_by: str = "",
) -> tuple[ApiKey, str]:
    """A new key and its secret, which nobody can tell again. Raises CONFLICT where the tenant has too many."""
    cursor = await connection.execute("select count(*) as keys from api_keys where revoked_at is null")
    row = await cursor.fetchone()
    if row is not None and row["keys"] >= KEYS_LIMIT:
        raise DormouseError(
            ErrorReason.ERROR_REASON_CONFLICT, f"There are {KEYS_LIMIT} keys already: delete some that nobody uses."
        )
    secret = keys.generate()
    cursor = await connection.execute(
        """insert into api_keys (id, tenant_id, user_id, name, prefix, mac, pepper, role, scopes, agents, models, tools,
                expires_at, created_by)
            values (%(id)s, %(tenant)s, %(user)s, %(name)s, %(prefix)s, %(mac)s, %(pepper)s, %(role)s, %(scopes)s,
                %(agents)s, %(models)s, %(tools)s, %(expires_at)s, %(created_by)s)
            returning *""",
        {
            "id": new_key_id(),
            "tenant": tenant,
            "user": user,
            "name": name,
            "created_by": created_by,
            **_secret_columns(secret, peppers),
            **_power_columns(powers),
        },
    )
    return _one(await cursor.fetchone()), secret


async def get_key(connection: Connection, key_id: str, *, for_update: bool = False) -> ApiKey:
    """The key, unless it is revoked. Raises ApiError 404."""
    row = None
    if is_key_id(key_id):
        row = await (await connection.execute(_GET_AND_LOCK if for_update else _GET, (key_id,))).fetchone()
    return _one(row)


async def page_of_keys(
    connection: Connection, *, limit: int, after: str | None = None, user: str | None = None
) -> KeyPage:
    """Newest first, behind the key `after`; of one user or of all; none that is revoked."""
    if (after is not None and not is_key_id(after)) or (user is not None and "\0" in user):
        return KeyPage((), has_more=False)
    cursor = await connection.execute(
        """select * from api_keys
            where revoked_at is null and (%(user)s::text is null or user_id = %(user)s) and (%(after)s::text is null
                or (created_at, id) < (select created_at, id from api_keys where id = %(after)s))
            order by created_at desc, id desc limit %(limit)s""",
        {"after": after, "user": user, "limit": limit + 1},
    )
    rows = await cursor.fetchall()
    return KeyPage([_key(row) for row in rows[:limit]], len(rows) > limit)


async def change_key(connection: Connection, key_id: str, *, name: str, powers: Powers) -> ApiKey:
    """Sets all of it. Raises ApiError 404."""
    cursor = await connection.execute(
        """update api_keys set name = %(name)s, role = %(role)s, scopes = %(scopes)s, agents = %(agents)s,
                models = %(models)s, tools = %(tools)s, expires_at = %(expires_at)s
            where id = %(id)s and revoked_at is null returning *""",
        {"id": key_id, "name": name, **_power_columns(powers)},
    )
    return _one(await cursor.fetchone())


async def rotate_key(
    connection: Connection, key_id: str, *, overlap: timedelta, peppers: Peppers
) -> tuple[ApiKey, str]:
    """A new secret for the key; the one before works on for as long as `overlap` says, older ones no more.

    Raises ApiError 404.
    """
    secret = keys.generate()
    cursor = await connection.execute(
        """update api_keys set prefix = %(prefix)s, mac = %(mac)s, pepper = %(pepper)s, rotated_at = clock_timestamp(),
                previous_mac = case when %(overlap)s > interval '0' then mac end,
                previous_until = case when %(overlap)s > interval '0' then clock_timestamp() + %(overlap)s end
            where id = %(id)s and revoked_at is null returning *""",
        {"id": key_id, "overlap": overlap, **_secret_columns(secret, peppers)},
    )
    return _one(await cursor.fetchone()), secret


async def revoke_key(connection: Connection, key_id: str) -> None:
    """Ends it, the secret from before a rotation too. Raises ApiError 404."""
    cursor = await connection.execute(
        "update api_keys set revoked_at = clock_timestamp() where id = %s and revoked_at is null", (key_id,)
    )
    if cursor.rowcount == 0:
        raise not_found()


def not_found() -> ApiError:
    """404, for a key of another tenant too."""
    return ApiError(404, "There is no key with this id.", code="key_not_found")


def _secret_columns(secret: str, peppers: Peppers) -> dict[str, Any]:
    return {
        "prefix": secret[:PREFIX_LENGTH],
        "mac": keys.mac(peppers.present, secret),
        "pepper": peppers.fingerprint,
    }


def _power_columns(powers: Powers) -> dict[str, Any]:
    lists = {
        "scopes": powers.scopes,
        "agents": powers.grants.agents,
        "models": powers.grants.models,
        "tools": powers.grants.tools,
    }
    columns: dict[str, Any] = {
        name: None if words is None else sorted(str(word) for word in words) for name, words in lists.items()
    }
    return columns | {"role": powers.role.value, "expires_at": powers.expires_at}


def _one(row: dict[str, Any] | None) -> ApiKey:
    if row is None:
        raise not_found()
    return _key(row)


def _key(row: dict[str, Any]) -> ApiKey:
    scopes = None if row["scopes"] is None else frozenset(scope for scope in Scope if scope in row["scopes"])
    agents, models, tools = (
        None if row[name] is None else frozenset(row[name]) for name in ("agents", "models", "tools")
    )
    return ApiKey(
        id=row["id"],
        name=row["name"],
        prefix=row["prefix"],
        user=row["user_id"],
        powers=Powers(Role(row["role"]), scopes, Grants(agents, models, tools), row["expires_at"]),
        created_at=row["created_at"],
        created_by=row["created_by"],
        last_used_at=row["last_used_at"],
        rotated_at=row["rotated_at"],
        previous_until=row["previous_until"],
    )
