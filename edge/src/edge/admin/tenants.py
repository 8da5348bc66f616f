"""`dormouse admin tenants` and `dormouse admin plans`."""

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.types.json import Jsonb

from edge.audit.entry import PLATFORM
from edge.limits.plans import FREE, Plans, PlansError, load_plans
from edge.policy.rules import KEY, Rules, RulesError

from .database import note, platform_transaction
from .errors import AdminError
from .output import Output

_ID: Final = re.compile(r"[A-Za-z0-9_.@-]{1,128}")
_COLUMNS: Final = ("id", "name", "plan", "created_at")


def add_commands(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """create, list, change."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    create = commands.add_parser("create", help="make a tenant")
    create.add_argument("id", help="letters, digits and _.@- ; it cannot be changed later")
    create.add_argument("--name", default="", help="for people; else the id")
    create.add_argument("--plan", default=FREE, help="what it may take (default: %(default)s)")
    create.set_defaults(run=_create)
    listing = commands.add_parser("list", help="list all tenants")
    listing.set_defaults(run=_list)
    change = commands.add_parser("change", help="change a tenant's name, plan or settings")
    change.add_argument("id")
    change.add_argument("--name")
    change.add_argument("--plan")
    change.add_argument(
        "--set", metavar="NAME=JSON", action="append", default=[], help="one setting; `null` takes it away; repeatable"
    )
    change.set_defaults(run=_change)
    for each in (create, change):
        each.add_argument(
            "--plans", metavar="FILE", default=environ.get("DORMOUSE_PLANS", ""), help="more plans; else DORMOUSE_PLANS"
        )


def add_plan_commands(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """list."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    listing = commands.add_parser("list", help="list the plans that there are")
    listing.add_argument(
        "--plans", metavar="FILE", default=environ.get("DORMOUSE_PLANS", ""), help="more plans; else DORMOUSE_PLANS"
    )
    listing.set_defaults(run=_list_plans)


async def _create(options: argparse.Namespace, output: Output) -> None:
    if _ID.fullmatch(options.id) is None:
        raise AdminError("a tenant's id has 1 to 128 letters, digits and characters of _.@-")
    _check_plan(options)
    try:
        async with platform_transaction(options) as connection:
            cursor = await connection.execute(
                "insert into tenants (id, name, plan) values (%s, %s, %s) returning *",
                (options.id, options.name or options.id, options.plan),
            )
            row = await cursor.fetchone()
            assert row is not None, "an insert returns its row"
            await note(connection, PLATFORM, "tenant.created", options.id, plan=options.plan)
    except psycopg.errors.UniqueViolation:
        raise AdminError(f"there is a tenant {options.id!r} already") from None
    output.thing(row)


async def _list(options: argparse.Namespace, output: Output) -> None:
    async with platform_transaction(options) as connection:
        rows = await (await connection.execute("select * from tenants order by created_at, id")).fetchall()
    output.table(rows, _COLUMNS)


async def _change(options: argparse.Namespace, output: Output) -> None:
    settings = _settings(options.set)
    if options.plan is not None:
        _check_plan(options)
    async with platform_transaction(options) as connection:
        cursor = await connection.execute(
            """update tenants set name = coalesce(%(name)s, name), plan = coalesce(%(plan)s, plan),
                    settings = jsonb_strip_nulls(settings || %(settings)s)
                where id = %(id)s returning *""",
            {"id": options.id, "name": options.name, "plan": options.plan, "settings": Jsonb(settings)},
        )
        row = await cursor.fetchone()
        if row is None:
            raise AdminError(f"there is no tenant {options.id!r}")
        await note(connection, PLATFORM, "tenant.changed", options.id, plan=row["plan"], settings=sorted(settings))
    output.thing(row)


async def _list_plans(options: argparse.Namespace, output: Output) -> None:
    rows = [plan.model_dump(mode="json") for plan in _plans(options)]
    output.table(rows, ("name", "priority", "concurrent_runs", "tokens_per_minute"))


def _settings(pairs: list[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, has_value, value = pair.partition("=")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            has_value = ""
        if not name or not has_value:
            raise AdminError(f"--set wants NAME=JSON, for instance redact=true, and not {pair!r}")
        if name == KEY and settings[name] is not None:
            try:
                Rules.read(settings[name], KEY)
            except RulesError as error:
                raise AdminError(str(error)) from error
    return settings


def _check_plan(options: argparse.Namespace) -> None:
    plans = _plans(options)
    if options.plan not in plans:
        known = ", ".join(plan.name for plan in plans)
        raise AdminError(f"there is no plan {options.plan!r}; there are {known}")


def _plans(options: argparse.Namespace) -> Plans:
    try:
        return load_plans(Path(options.plans) if options.plans else None)
    except PlansError as error:
        raise AdminError(f"the plans: {error}") from error
