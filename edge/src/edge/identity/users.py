"""Users of a tenant, as rows. Every function works on the rows that its connection sees: one tenant's."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

from edge.auth.scopes import Role
from edge.database import Connection
from edge.errors import ApiError
from edge.ids import is_user_id, new_user_id

EMAIL_PATTERN: Final = (
    r"^[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?){0,8}$"
)
"""That of HTML's own e-mail fields, a little shorter."""
EMAIL_LIMIT: Final = 254
_EMAIL: Final = re.compile(EMAIL_PATTERN[1:-1])


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in, unless disabled."""

    id: str
    email: str
    name: str
    role: Role
    disabled_at: datetime | None
    created_at: datetime
    updated_at: datetime
    has_password: bool
    """False: invited, and has not answered yet."""


@dataclass(frozen=True, slots=True)
class UserPage:
    """Some users, newest first, and whether there are more."""

    users: Sequence[User]
    has_more: bool


def email_of(text: str) -> str:
    """The address as it is stored. Raises ValueError with a sentence."""
    email = text.lower()
    if len(email) > EMAIL_LIMIT or _EMAIL.fullmatch(email) is None:
        raise ValueError("wants an e-mail address")
    return email


async def create_user(
    connection: Connection, tenant: str, *, email: str, name: str = "", role: Role, password_hash: str | None = None
) -> User:
    """A new user. email: as `email_of` makes it. Raises CONFLICT where the tenant has a user with the address."""
    try:
        cursor = await connection.execute(
            "insert into users (tenant_id, id, email, name, role, password_hash) values (%s, %s, %s, %s, %s, %s)"
            " returning *",
            (tenant, new_user_id(), email, name, role.value, password_hash),
        )
    except psycopg.errors.UniqueViolation as error:
        raise DormouseError(
            ErrorReason.ERROR_REASON_CONFLICT, "There is a user with this e-mail address already."
        ) from error
    row = await cursor.fetchone()
    assert row is not None, "an insert returns its row"
    return _user(row)


async def get_user(connection: Connection, user_id: str) -> User:
    """The user. Raises ApiError 404."""
    row = None
    if is_user_id(user_id):
        cursor = await connection.execute("select * from users where id = %s", (user_id,))
        row = await cursor.fetchone()
    if row is None:
        raise not_found()
    return _user(row)


async def page_of_users(connection: Connection, *, limit: int, after: str | None = None) -> UserPage:
    """Newest first, behind the user `after`; none when there is no such user."""
    if after is not None and not is_user_id(after):
        return UserPage((), has_more=False)
    cursor = await connection.execute(
        """select * from users
            where %(after)s::text is null or (created_at, id) < (select created_at, id from users where id = %(after)s)
            order by created_at desc, id desc limit %(limit)s""",
        {"after": after, "limit": limit + 1},
    )
    rows = await cursor.fetchall()
    return UserPage([_user(row) for row in rows[:limit]], len(rows) > limit)


async def password_of(connection: Connection, *, email: str = "", user_id: str = "") -> tuple[str, str] | None:
    """Id and password hash of the enabled user with this address or id; None: there is none, or no password."""
    cursor = await connection.execute(
        "select id, password_hash from users where (email = %s or id = %s) and disabled_at is null"
        " and password_hash is not null",
        (email, user_id),
    )
    row = await cursor.fetchone()
    return (row["id"], row["password_hash"]) if row is not None else None


async def set_password(connection: Connection, user_id: str, password_hash: str) -> None:
    """Stores it; sessions are another matter (`sessions.end_sessions_of`)."""
    await connection.execute(
        "update users set password_hash = %s, updated_at = clock_timestamp() where id = %s", (password_hash, user_id)
    )


async def renew_hash(connection: Connection, user_id: str, old: str, new: str) -> None:
    """The same password under today's parameters, unless it has been changed meanwhile."""
    await connection.execute(
        "update users set password_hash = %s where id = %s and password_hash = %s", (new, user_id, old)
    )


async def change_user(
    connection: Connection,
    user_id: str,
    *,
    name: str | None = None,
    role: Role | None = None,
    disabled: bool | None = None,
) -> User:
    """What is not None changes. Raises ApiError 404, and CONFLICT where the tenant would be left without an admin.

    Sessions of a user who is disabled end with the same transaction's `sessions.end_sessions_of`.
    """
    # Whoever changes admins of a tenant waits for whoever else does, or two could take away each other's role.
    await connection.execute("select id from users where role = 'admin' and disabled_at is null order by id for update")
    before = await get_user(connection, user_id)
    after_role = before.role if role is None else role
    after_disabled = before.disabled_at is not None if disabled is None else disabled
    if _is_admin(before) and (after_role is not Role.ADMIN or after_disabled):
        cursor = await connection.execute(
            "select exists (select from users where role = 'admin' and disabled_at is null and id <> %s)", (user_id,)
        )
        row = await cursor.fetchone()
        if not row or not row["exists"]:
            raise DormouseError(
                ErrorReason.ERROR_REASON_CONFLICT, "This is the last admin: somebody has to be left who can do this."
            )
    cursor = await connection.execute(
        """update users set name = coalesce(%(name)s, name), role = %(role)s,
                disabled_at = case when %(disabled)s then coalesce(disabled_at, clock_timestamp()) end,
                updated_at = clock_timestamp()
            where id = %(id)s returning *""",
        {"name": name, "role": after_role.value, "disabled": after_disabled, "id": user_id},
    )
    row = await cursor.fetchone()
    assert row is not None, "the row was there in this transaction"
    return _user(row)


def not_found() -> ApiError:
    """404, for a user of another tenant too."""
    return ApiError(404, "There is no user with this id.", code="user_not_found")


def _is_admin(user: User) -> bool:
    return user.role is Role.ADMIN and user.disabled_at is None


def _user(row: dict[str, Any]) -> User:
    return User(
        id=row["id"],
        email=row["email"],
        name=row["name"],
        role=Role(row["role"]),
        disabled_at=row["disabled_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        has_password=row["password_hash"] is not None,
    )
