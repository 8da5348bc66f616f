"""What routes do with API keys: who may see and change which, and the audit log's entry in the same transaction."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from dormouse_runtime import logs

from edge.audit import Entry, append
from edge.audit.log import client
from edge.auth.authenticator import Authenticator
from edge.auth.caller import Caller, Scope
from edge.auth.peppers import Peppers
from edge.database import Connection, Database
from edge.identity import users

from . import rows
from .powers import Powers, check_within, narrowed
from .rows import ApiKey, KeyPage


class ApiKeys:
    """Every method acts for a caller: they reach their own keys, and those of the tenant with the scope `keys:all`.

    Errors: ApiError 404 for a key that the caller cannot see, DATABASE_UNAVAILABLE.
    """

    def __init__(self, database: Database, peppers: Peppers, authenticator: Authenticator) -> None:
        self._database = database
        self._peppers = peppers
        self._authenticator = authenticator

    async def create(self, caller: Caller, *, name: str, powers: Powers, user: str | None = None) -> tuple[ApiKey, str]:
        """A key for the caller, or for another user, and its secret. Raises ApiError 403 and 404, CONFLICT."""
        owner = caller.user if user is None else user
        powers = narrowed(powers, caller)
        check_within(powers, caller)
        async with self._database.tenant(caller.tenant) as connection:
            if owner != caller.user:
                if Scope.KEYS_ALL not in caller.scopes:
                    raise users.not_found()
                await users.get_user(connection, owner)
            key, secret = await rows.create_key(
                connection,
                caller.tenant,
                user=owner,
                name=name,
                powers=powers,
                peppers=self._peppers,
                created_by=caller.user,
            )
            await _note(connection, caller, "key.created", key, **_facts(key))
        return key, secret

    async def get(self, caller: Caller, key_id: str) -> ApiKey:
        """The key."""
        async with self._database.tenant(caller.tenant) as connection:
            return _visible(caller, await rows.get_key(connection, key_id))

    async def page(self, caller: Caller, *, limit: int, after: str | None, user: str | None) -> KeyPage:
        """The caller's keys; with `keys:all` everybody's, or one user's. Newest first."""
        if Scope.KEYS_ALL not in caller.scopes:
            if user not in (None, caller.user):
                return KeyPage((), has_more=False)
            user = caller.user
        async with self._database.tenant(caller.tenant) as connection:
            return await rows.page_of_keys(connection, limit=limit, after=after, user=user)

    async def change(self, caller: Caller, key_id: str, name: str | None, change: Callable[[Powers], Powers]) -> ApiKey:
        """name None: it stays. What comes out must be within the caller's own powers, or ApiError 403."""
        async with self._changing(caller, key_id) as (connection, key):
            powers = narrowed(change(key.powers), caller)
            check_within(powers, caller)
            key = await rows.change_key(connection, key_id, name=key.name if name is None else name, powers=powers)
            await _note(connection, caller, "key.changed", key, **_facts(key))
        return key

    async def rotate(self, caller: Caller, key_id: str, overlap: timedelta) -> tuple[ApiKey, str]:
        """A new secret. Raises ApiError 403 for a key that may more than the caller: its secret would be theirs."""
        async with self._changing(caller, key_id) as (connection, key):
            check_within(key.powers, caller)
            key, secret = await rows.rotate_key(connection, key_id, overlap=overlap, peppers=self._peppers)
            await _note(connection, caller, "key.rotated", key, overlap_s=int(overlap.total_seconds()))
        return key, secret

    async def revoke(self, caller: Caller, key_id: str) -> None:
        """Ends the key: here at once, in other replicas within 60 s."""
        async with self._changing(caller, key_id) as (connection, key):
            await rows.revoke_key(connection, key_id)
            await _note(connection, caller, "key.revoked", key)

    @asynccontextmanager
    async def _changing(self, caller: Caller, key_id: str) -> AsyncIterator[tuple[Connection, ApiKey]]:
        async with self._database.tenant(caller.tenant) as connection:
            yield connection, _visible(caller, await rows.get_key(connection, key_id, for_update=True))
        self._authenticator.forget(key_id)


def _visible(caller: Caller, key: ApiKey) -> ApiKey:
    if key.user != caller.user and Scope.KEYS_ALL not in caller.scopes:
        raise rows.not_found()
    return key


def _facts(key: ApiKey) -> dict[str, Any]:
    powers = key.powers
    scopes = None if powers.scopes is None else sorted(powers.scopes)
    return {"user": key.user, "role": powers.role.value, "scopes": scopes}


async def _note(connection: Connection, caller: Caller, action: str, key: ApiKey, **details: Any) -> None:
    entry = Entry(
        tenant=caller.tenant,
        actor=f"user:{caller.user}",
        action=action,
        target=key.id,
        key_id=caller.key_id,
        address=client.get(),
        request_id=logs.bound_id("request_id"),
        details=details,
    )
    await append(connection, entry)
