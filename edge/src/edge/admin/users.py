"""`dormouse admin users`."""

import argparse
import getpass
import sys
from collections.abc import Mapping
from typing import Any, Final

from edge.auth.scopes import Role
from edge.identity import invitations, sessions, users
from edge.identity.passwords import Passwords, problem_of
from edge.identity.users import User

from .database import note, peppers_of, tenant_transaction
from .errors import AdminError
from .output import Output

_COLUMNS: Final = ("id", "email", "role", "has_password", "disabled_at")
_PAGE: Final = 500


def add_commands(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """create, list, change, invite."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    create = commands.add_parser(
        "create",
        help="make a user; without a password an invitation is printed, with which they choose one",
    )
    create.add_argument("email")
    create.add_argument("--name", default="", help="for people")
    create.add_argument("--role", choices=[role.value for role in Role], default=Role.MEMBER.value)
    create.add_argument(
        "--password-stdin", action="store_true", help="read a password from standard input, or ask for one"
    )
    create.set_defaults(run=_create)
    listing = commands.add_parser("list", help="list a tenant's users")
    listing.set_defaults(run=_list)
    change = commands.add_parser("change", help="change a user's name or role, disable or enable them")
    change.add_argument("id", help="the user's id or e-mail address")
    change.add_argument("--name")
    change.add_argument("--role", choices=[role.value for role in Role])
    ability = change.add_mutually_exclusive_group()
    ability.add_argument("--disable", action="store_true", help="their sessions and keys stop working within 60 s")
    ability.add_argument("--enable", action="store_true")
    change.set_defaults(run=_change)
    invite = commands.add_parser("invite", help="print an invitation with which a user chooses a (new) password")
    invite.add_argument("id", help="the user's id or e-mail address")
    invite.set_defaults(run=_invite)
    for each in (create, listing, change, invite):
        each.add_argument("--tenant", required=True, help="whose user")


async def _create(options: argparse.Namespace, output: Output) -> None:
    try:
        email = users.email_of(options.email)
    except ValueError as error:
        raise AdminError(f"EMAIL {error}, and not {options.email!r}") from error
    password_hash = await _hash(_read_password(email)) if options.password_stdin else None
    peppers = None if options.password_stdin else peppers_of(options)
    async with tenant_transaction(options, options.tenant) as connection:
        user = await users.create_user(
            connection,
            options.tenant,
            email=email,
            name=options.name,
            role=Role(options.role),
            password_hash=password_hash,
        )
        fields = _fields(user)
        if peppers is not None:
            fields["invitation"] = await invitations.invite(connection, options.tenant, user.id, peppers)
        await note(connection, options.tenant, "user.created", user.id, role=user.role.value)
    output.thing(fields, shown_once="" if peppers is None else "invitation")


async def _list(options: argparse.Namespace, output: Output) -> None:
    found: list[User] = []
    async with tenant_transaction(options, options.tenant) as connection:
        while True:
            after = found[-1].id if found else None
            page = await users.page_of_users(connection, limit=_PAGE, after=after)
            found += page.users
            if not page.has_more:
                break
    output.table([_fields(user) for user in found], _COLUMNS)


async def _change(options: argparse.Namespace, output: Output) -> None:
    disabled = True if options.disable else False if options.enable else None
    role = None if options.role is None else Role(options.role)
    async with tenant_transaction(options, options.tenant) as connection:
        user_id = await find_user(connection, options.id)
        user = await users.change_user(connection, user_id, name=options.name, role=role, disabled=disabled)
        if disabled:
            await sessions.end_sessions_of(connection, user_id, "disabled")
        await note(connection, options.tenant, "user.changed", user_id, role=user.role.value, disabled=disabled)
    output.thing(_fields(user))


async def _invite(options: argparse.Namespace, output: Output) -> None:
    peppers = peppers_of(options)
    async with tenant_transaction(options, options.tenant) as connection:
        user = await users.get_user(connection, await find_user(connection, options.id))
        if user.disabled_at is not None:
            raise AdminError("the user is disabled")
        invitation = await invitations.invite(connection, options.tenant, user.id, peppers)
        await note(connection, options.tenant, "user.invited", user.id)
    output.thing({**_fields(user), "invitation": invitation}, shown_once="invitation")


async def find_user(connection: Any, wanted: str) -> str:
    """The id of the user with this id or address. Raises AdminError."""
    if "@" in wanted:
        cursor = await connection.execute("select id from users where email = %s", (wanted.strip().lower(),))
    else:
        cursor = await connection.execute("select id from users where id = %s", (wanted,))
    row = await cursor.fetchone()
    if row is None:
        raise AdminError(f"the tenant has no user {wanted!r}")
    return str(row["id"])


def _fields(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role.value,
        "has_password": user.has_password,
        "disabled_at": user.disabled_at,
        "created_at": user.created_at,
    }


def _read_password(email: str) -> str:
    password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    problem = problem_of(password, email=email)
    if problem is not None:
        raise AdminError(problem)
    return password


async def _hash(password: str) -> str:
    passwords = Passwords(1)
    try:
        return await passwords.hash(password)
    finally:
        passwords.close()
