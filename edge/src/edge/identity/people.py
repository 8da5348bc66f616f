"""What routes do for people: log them in, keep and end their sessions, and let admins look after users."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dormouse_runtime import logs

from edge.audit import Entry, append
from edge.audit.log import client
from edge.auth.access_tokens import AccessTokens
from edge.auth.caller import EVERYTHING, Caller, Role
from edge.auth.peppers import Peppers
from edge.auth.scopes import OF_ROLE
from edge.database import Connection, Database
from edge.errors import ApiError, invalid_argument
from edge.metrics import LOGINS

from . import invitations, sessions, users
from .attempts import Attempts
from .passwords import Passwords, problem_of
from .sessions import Refreshed, Reused, Session
from .users import User, UserPage

NOTES_LIMIT = 50
"""Failed logins whose notes are under way; what comes beyond is counted, not noted."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a client gets to go on with."""

    access_token: str
    expires_in: int
    refresh_token: str


class People:
    """Raises ApiError for what is not right, OVERLOADED when too many log in, DATABASE_UNAVAILABLE."""

    def __init__(
        self,
        database: Database,
        access: AccessTokens,
        passwords: Passwords,
        peppers: Peppers,
        *,
        session_life: timedelta,
    ) -> None:
        self._database = database
        self._access = access
        self._passwords = passwords
        self._peppers = peppers
        self._session_life = session_life
        self._attempts = Attempts()
        self._notes: set[asyncio.Task[None]] = set()

    async def log_in(self, tenant: str, email: str, password: str, address: str) -> Tokens:
        """A new session. 401 for an unknown tenant, an unknown address and a wrong password, after the same time."""
        account = (tenant, email)
        if (wait_s := self._attempts.wait_s(account, address)) > 0:
            LOGINS.labels("login", "slowed").inc()
            raise _too_often(wait_s)
        async with self._database.tenant(tenant) as connection:
            found = await users.password_of(connection, email=email)
        user_id, stored = found or ("", None)
        if not await self._passwords.verify(password, stored):
            self._attempts.failed(account, address)
            LOGINS.labels("login", "refused").inc()
            # Beside the answer, or the time for it would tell whether there is such a user.
            self._note_failure(tenant, user_id)
            raise _refused_login()
        assert stored is not None, "no password fits no hash"
        renewed = await self._passwords.hash(password) if self._passwords.is_outdated(stored) else None
        async with self._database.tenant(tenant) as connection:
            if renewed is not None:
                await users.renew_hash(connection, user_id, stored, renewed)
            return await self._begin(connection, tenant, user_id, "auth.logged_in")

    async def refresh(self, text: str) -> Tokens:
        """The next pair of tokens. 401 for what is no refresh token of a session that goes on."""
        token = sessions.parse(text)
        outcome = None
        if token is not None:
            async with self._database.tenant(token.tenant) as connection:
                outcome = await sessions.refresh(connection, token, self._peppers)
                if isinstance(outcome, Reused):
                    await _note(connection, token.tenant, outcome.user_id, "auth.session_reused", outcome.session_id)
        if token is not None and isinstance(outcome, Reused):
            self._access.forget_session(token.tenant, outcome.session_id)
        if token is None or not isinstance(outcome, Refreshed):
            LOGINS.labels("refresh", "reused" if isinstance(outcome, Reused) else "refused").inc()
            raise _refused_refresh()
        LOGINS.labels("refresh", "ok").inc()
        return await self._tokens(token.tenant, outcome)

    async def log_out(self, text: str, *, everywhere: bool) -> None:
        """Ends the refresh token's session, or all of its user's. Does nothing for what is none: it is out already."""
        token = sessions.parse(text)
        if token is None:
            return
        async with self._database.tenant(token.tenant) as connection:
            found = await sessions.session_of(connection, token, self._peppers)
            if found is None:
                return
            session_id, user_id = found
            if everywhere:
                ended = await sessions.end_sessions_of(connection, user_id, "logout")
            else:
                await sessions.end_session(connection, session_id, "logout")
                ended = [session_id]
            await _note(connection, token.tenant, user_id, "auth.logged_out", session_id, sessions=len(ended))
        self._forget(token.tenant, ended)

    async def accept(self, text: str, password: str) -> Tokens:
        """Sets the password of the user whom the invitation is for, ends their other sessions and begins one."""
        invitation = invitations.parse(text)
        if invitation is None:
            raise _refused_invitation()
        self._check_password(password)
        async with self._database.tenant(invitation.tenant) as connection:
            # Who has none gets no thread to hash in; who has one keeps it when there is none free.
            if not await invitations.is_open(connection, invitation, self._peppers):
                raise _refused_invitation()
        password_hash = await self._passwords.hash(password)
        async with self._database.tenant(invitation.tenant) as connection:
            user_id = await invitations.take(connection, invitation, self._peppers)
            if user_id is None:
                raise _refused_invitation()
            await users.set_password(connection, user_id, password_hash)
            ended = await sessions.end_sessions_of(connection, user_id, "password")
            tokens = await self._begin(connection, invitation.tenant, user_id, "auth.invitation_accepted")
        self._forget(invitation.tenant, ended)
        return tokens

    async def change_password(self, caller: Caller, current: str, new: str, address: str) -> None:
        """Ends all sessions of the caller but the one that asks. 403 where the current password is wrong."""
        account = (caller.tenant, caller.user)
        if (wait_s := self._attempts.wait_s(account, address)) > 0:
            raise _too_often(wait_s)
        async with self._database.tenant(caller.tenant) as connection:
            found = await users.password_of(connection, user_id=caller.user)
            email = (await users.get_user(connection, caller.user)).email if found is not None else ""
        self._check_password(new, email)
        if not await self._passwords.verify(current, found[1] if found is not None else None):
            self._attempts.failed(account, address)
            raise ApiError(403, "The current password is not right.", type="permission_error", code="wrong_password")
        password_hash = await self._passwords.hash(new)
        async with self._database.tenant(caller.tenant) as connection:
            await users.set_password(connection, caller.user, password_hash)
            ended = await sessions.end_sessions_of(connection, caller.user, "password", but=caller.session_id)
            await _note_by(connection, caller, "auth.password_changed", caller.user, sessions=len(ended))
        self._forget(caller.tenant, ended)

    async def sessions(self, caller: Caller) -> Sequence[Session]:
        """The caller's own that go on."""
        async with self._database.tenant(caller.tenant) as connection:
            return await sessions.sessions_of(connection, caller.user)

    async def end_session(self, caller: Caller, session_id: str) -> None:
        """One of the caller's own. 404 for everybody else's."""
        async with self._database.tenant(caller.tenant) as connection:
            if not await sessions.end_session(connection, session_id, "logout", user_id=caller.user):
                raise ApiError(404, "There is no session with this id.", code="session_not_found")
            await _note_by(connection, caller, "auth.logged_out", session_id)
        self._forget(caller.tenant, [session_id])

    async def me(self, caller: Caller) -> User | None:
        """The caller as a user of ours; None for who is not one: an issuer's, or a key's without a user."""
        async with self._database.tenant(caller.tenant) as connection:
            try:
                return await users.get_user(connection, caller.user)
            except ApiError:
                return None

    async def create_user(
        self, caller: Caller, *, email: str, name: str, role: Role, password: str | None
    ) -> tuple[User, str | None]:
        """A user of the caller's tenant, and an invitation where they have no password yet.

        403 for a credential that may less than such a user; CONFLICT.
        """
        _check_within(caller, role)
        password_hash = None
        if password is not None:
            self._check_password(password, email)
            password_hash = await self._passwords.hash(password)
        async with self._database.tenant(caller.tenant) as connection:
            user = await users.create_user(
                connection, caller.tenant, email=email, name=name, role=role, password_hash=password_hash
            )
            invitation = None
            if password_hash is None:
                invitation = await invitations.invite(connection, caller.tenant, user.id, self._peppers)
            await _note_by(connection, caller, "user.created", user.id, role=role.value)
        return user, invitation

    async def users(self, caller: Caller, *, limit: int, after: str | None) -> UserPage:
        """Those of the caller's tenant, newest first."""
        async with self._database.tenant(caller.tenant) as connection:
            return await users.page_of_users(connection, limit=limit, after=after)

    async def user(self, caller: Caller, user_id: str) -> User:
        """One. 404."""
        async with self._database.tenant(caller.tenant) as connection:
            return await users.get_user(connection, user_id)

    async def change_user(
        self, caller: Caller, user_id: str, *, name: str | None, role: Role | None, disabled: bool | None
    ) -> User:
        """Counts on every replica within 60 s. 403 as for a new one, 404, CONFLICT for the last admin."""
        ended: Sequence[str] = ()
        async with self._database.tenant(caller.tenant) as connection:
            before = await users.get_user(connection, user_id)
            if role is not None:
                _check_within(caller, role)
            user = await users.change_user(connection, user_id, name=name, role=role, disabled=disabled)
            if user.disabled_at is not None:
                ended = await sessions.end_sessions_of(connection, user_id, "disabled")
            going_on = [session.id for session in await sessions.sessions_of(connection, user_id)]
            await _note_by(connection, caller, *_change(before, user))
        self._forget(caller.tenant, [*ended, *going_on])
        return user

    async def invite(self, caller: Caller, user_id: str) -> str:
        """An invitation for a user to choose a password; one from before stops working. 403 as for a new one, 404."""
        async with self._database.tenant(caller.tenant) as connection:
            user = await users.get_user(connection, user_id)
            _check_within(caller, user.role)
            if user.disabled_at is not None:
                raise ApiError(409, "The user is disabled.", type="conflict_error", code="conflict")
            invitation = await invitations.invite(connection, caller.tenant, user_id, self._peppers)
            await _note_by(connection, caller, "user.invited", user_id)
        return invitation

    async def close(self) -> None:
        """Waits for the notes that are under way, and lets go of the threads."""
        if self._notes:
            await asyncio.wait(self._notes, timeout=2)
        for note in tuple(self._notes):
            note.cancel()
        self._passwords.close()

    async def _begin(self, connection: Connection, tenant: str, user_id: str, action: str) -> Tokens:
        refreshed = await sessions.begin(connection, tenant, user_id, self._session_life, self._peppers)
        tokens = await self._tokens(tenant, refreshed)
        await _note(connection, tenant, user_id, action, refreshed.session_id)
        LOGINS.labels("login", "ok").inc()
        return tokens

    async def _tokens(self, tenant: str, refreshed: Refreshed) -> Tokens:
        access = await self._access.mint(tenant, refreshed.user_id, refreshed.session_id)
        return Tokens(access, self._access.life_s, refreshed.refresh_token)

    def _forget(self, tenant: str, session_ids: Sequence[str]) -> None:
        for session_id in session_ids:
            self._access.forget_session(tenant, session_id)

    def _check_password(self, password: str, email: str = "") -> None:
        problem = problem_of(password, email=email)
        if problem is not None:
            raise invalid_argument(f"Invalid value for `password`: {problem}.", "password")

    def _note_failure(self, tenant: str, user_id: str) -> None:
        if user_id and len(self._notes) < NOTES_LIMIT:
            task = asyncio.create_task(self._write_failure(tenant, user_id))
            self._notes.add(task)
            task.add_done_callback(self._noted)

    def _noted(self, task: asyncio.Task[None]) -> None:
        self._notes.discard(task)
        if not task.cancelled():
            task.exception()  # the database is away: the metric has counted it

    async def _write_failure(self, tenant: str, user_id: str) -> None:
        async with self._database.tenant(tenant) as connection:
            await append(connection, _entry(tenant, "anonymous", "auth.login_failed", user_id))


def _check_within(caller: Caller, role: Role) -> None:
    """Nobody makes a user who may more than their own credential. Raises ApiError 403."""
    if caller.grants != EVERYTHING or not OF_ROLE[role] <= caller.scopes:
        raise ApiError(
            403,
            f"This credential may less than a user with the role `{role}`, so it cannot make one.",
            type="permission_error",
            code="insufficient_scope",
        )


def _change(before: User, after: User) -> tuple[str, str]:
    if (before.disabled_at is None) != (after.disabled_at is None):
        return ("user.disabled" if after.disabled_at is not None else "user.enabled"), after.id
    return ("permission.role_changed" if before.role is not after.role else "user.changed"), after.id


async def _note(connection: Connection, tenant: str, user_id: str, action: str, target: str, **details: Any) -> None:
    await append(connection, _entry(tenant, f"user:{user_id}", action, target, **details))


async def _note_by(connection: Connection, caller: Caller, action: str, target: str, **details: Any) -> None:
    await append(connection, _entry(caller.tenant, f"user:{caller.user}", action, target, caller.key_id, **details))


def _entry(tenant: str, actor: str, action: str, target: str, key_id: str = "", **details: Any) -> Entry:
    return Entry(
        tenant=tenant,
        actor=actor,
        action=action,
        target=target,
        key_id=key_id,
        address=client.get(),
        request_id=logs.bound_id("request_id"),
        details=details,
    )


def _refused_login() -> ApiError:
    return _unauthorized("The tenant, the e-mail address or the password is not right.", "invalid_credentials")


def _refused_refresh() -> ApiError:
    return _unauthorized("The refresh token is not valid, or not any more: log in again.", "invalid_refresh_token")


def _refused_invitation() -> ApiError:
    return _unauthorized("The invitation is not valid, or not any more: ask for another.", "invalid_invitation")


def _unauthorized(message: str, code: str) -> ApiError:
    # No challenge: it is not the Authorization header that is wrong.
    return ApiError(401, message, code=code, headers={"x-should-retry": "false"})


def _too_often(wait_s: float) -> ApiError:
    return ApiError(
        429,
        "Too many attempts: wait a little before the next one.",
        type="rate_limit_error",
        code="too_many_attempts",
        headers={"retry-after": str(math.ceil(wait_s)), "retry-after-ms": str(math.ceil(wait_s * 1000))},
    )
