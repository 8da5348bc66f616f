"""`dormouse admin keys`."""

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from edge.api_keys import rows
from edge.api_keys.powers import Powers
from edge.api_keys.rows import ApiKey
from edge.auth.caller import Grants
from edge.auth.scopes import OF_ROLE, Role, Scope

from .database import note, peppers_of, platform_transaction, tenant_transaction
from .errors import AdminError
from .output import Output
from .users import find_user

_COLUMNS: Final = ("id", "name", "prefix", "user", "role", "scopes", "expires_at", "last_used_at")
_PAGE: Final = 500


def add_commands(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """create, list, rotate, revoke, peppers."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    create = commands.add_parser("create", help="make an API key and print it, this once")
    create.add_argument("name", help="for people")
    owner = create.add_mutually_exclusive_group()
    owner.add_argument("--user", help="the id or e-mail address of the user it speaks for, whose role bounds it")
    owner.add_argument("--as", dest="stands_for", metavar="NAME", help="a name, where it speaks for no user")
    create.add_argument("--role", choices=[role.value for role in Role], default=Role.MEMBER.value)
    for name, help_text in (
        ("scope", f"what it may be used for: {', '.join(Scope)}; else all that the role may"),
        ("agent", "an agent that its runs may use; else all"),
        ("model", "a model that its runs may use; else all"),
        ("tool", "a tool that its runs may use; else all"),
    ):
        create.add_argument(f"--{name}", action="append", metavar=name.upper(), help=help_text + "; repeatable")
    create.add_argument("--no-tools", action="store_true", help="its runs may use no tool")
    create.add_argument("--days", type=_days, help="how long it works; else for good")
    create.set_defaults(run=_create)
    listing = commands.add_parser("list", help="list a tenant's keys")
    listing.set_defaults(run=_list)
    rotate = commands.add_parser("rotate", help="give a key a new secret and print it, this once")
    rotate.add_argument("id")
    rotate.add_argument(
        "--overlap-hours", type=_hours, default=24.0, help="how long the secret from before works on (default: 24)"
    )
    rotate.set_defaults(run=_rotate)
    revoke = commands.add_parser("revoke", help="end a key for good, everywhere within 60 s")
    revoke.add_argument("id")
    revoke.set_defaults(run=_revoke)
    for each in (create, listing, rotate, revoke):
        each.add_argument("--tenant", required=True, help="whose key")
    peppers = commands.add_parser("peppers", help="count the keys that are not yet stored under the present pepper")
    peppers.set_defaults(run=_peppers)


async def _create(options: argparse.Namespace, output: Output) -> None:
    powers = _powers(options)
    peppers = peppers_of(options)
    async with tenant_transaction(options, options.tenant) as connection:
        user = await find_user(connection, options.user) if options.user else options.stands_for or "operator"
        key, secret = await rows.create_key(
            connection, options.tenant, user=user, name=options.name, powers=powers, peppers=peppers
        )
        await note(connection, options.tenant, "key.created", key.id, user=user, role=powers.role.value)
    output.thing({**_fields(key), "key": secret}, shown_once="key")


async def _list(options: argparse.Namespace, output: Output) -> None:
    found: list[ApiKey] = []
    async with tenant_transaction(options, options.tenant) as connection:
        while True:
            page = await rows.page_of_keys(connection, limit=_PAGE, after=found[-1].id if found else None)
            found += page.keys
            if not page.has_more:
                break
    listed = [_fields(key) for key in found]
    if not output.as_json:
        listed = [row | {"scopes": "all" if row["scopes"] is None else row["scopes"]} for row in listed]
    output.table(listed, _COLUMNS)


async def _rotate(options: argparse.Namespace, output: Output) -> None:
    peppers = peppers_of(options)
    overlap = timedelta(hours=options.overlap_hours)
    async with tenant_transaction(options, options.tenant) as connection:
        key, secret = await rows.rotate_key(connection, options.id, overlap=overlap, peppers=peppers)
        overlap_s = int(overlap.total_seconds())
        await note(connection, options.tenant, "key.rotated", key.id, overlap_s=overlap_s)
    output.thing({**_fields(key), "key": secret}, shown_once="key")


async def _revoke(options: argparse.Namespace, output: Output) -> None:
    async with tenant_transaction(options, options.tenant) as connection:
        await rows.revoke_key(connection, options.id)
        await note(connection, options.tenant, "key.revoked", options.id)
    output.done(f"{options.id} is revoked; every replica refuses it within 60 s.", id=options.id, revoked=True)


async def _peppers(options: argparse.Namespace, output: Output) -> None:
    fingerprint = peppers_of(options).fingerprint
    async with platform_transaction(options) as connection:
        cursor = await connection.execute(
            """select count(*) as keys, count(*) filter (where pepper <> %s) as under_an_older_pepper,
                    max(last_used_at) filter (where pepper <> %s) as last_use_of_those
                from api_keys where revoked_at is null and (expires_at is null or expires_at > now())""",
            (fingerprint, fingerprint),
        )
        row = await cursor.fetchone()
    assert row is not None, "an aggregate has one row"
    output.thing({"present_pepper": fingerprint, **row})


def _powers(options: argparse.Namespace) -> Powers:
    role = Role(options.role)
    scopes = None
    if options.scope is not None:
        unknown = [scope for scope in options.scope if scope not in set(Scope)]
        if unknown:
            raise AdminError(f"there is no scope {unknown[0]!r}; there are {', '.join(Scope)}")
        scopes = frozenset(Scope(scope) for scope in options.scope)
        if excess := sorted(scopes - OF_ROLE[role]):
            raise AdminError(f"the role {role} has not got the scope {excess[0]}")
    if options.no_tools and options.tool:
        raise AdminError("--tool and --no-tools contradict each other")
    lists = [options.agent, options.model, [] if options.no_tools else options.tool]
    grants = Grants(*(None if names is None else frozenset(names) for names in lists))
    expires_at = None if options.days is None else datetime.now(UTC) + timedelta(days=options.days)
    return Powers(role, scopes, grants, expires_at)


def _fields(key: ApiKey) -> dict[str, Any]:
    powers = key.powers
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "user": key.user,
        "role": powers.role.value,
        "scopes": None if powers.scopes is None else sorted(powers.scopes),
        "agents": None if powers.grants.agents is None else sorted(powers.grants.agents),
        "models": None if powers.grants.models is None else sorted(powers.grants.models),
        "tools": None if powers.grants.tools is None else sorted(powers.grants.tools),
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": powers.expires_at,
        "last_used_at": key.last_used_at,
        "previous_valid_until": key.previous_until,
    }


def _days(text: str) -> float:
    days = float(text)
    if not 0 < days <= 3660:
        raise argparse.ArgumentTypeError("wants days: more than 0, at most 3660")
    return days


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 <= hours <= 720:
        raise argparse.ArgumentTypeError("wants hours: 0 to 720")
    return hours
