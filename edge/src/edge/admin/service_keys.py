"""`dormouse admin service-keys`: the key files behind the tokens that the platform's parts show each other."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dormouse_runtime import issuers
from dormouse_runtime.keys import generate_key, replace_file, write_key_pair

from edge.audit.entry import PLATFORM

from . import cluster_keys
from .database import note, platform_transaction
from .errors import AdminError
from .output import Output

PRIVATE: Final = "DORMOUSE_SERVICE_KEY"
TRUSTED: Final = "DORMOUSE_TRUSTED_KEYS"
_HELP: Final = {
    "list": "list whom the functions trust, and with which limits",
    "init": "make the first key of a new installation",
    "next": "step 1 of a rotation: make the next key and publish its public half",
    "switch": "step 2, once every function has the published half: sign with the next key",
    "withdraw": "step 3, 15 minutes after the switch: trust the old key no more",
    "generate": "make a key pair for an internal service: FILE and FILE.public",
    "register": "trust an internal service's public key, within limits",
    "unregister": "trust an internal service, or one key of it, no more",
    "cluster": "in a pod: fill the Secret with the platform's keys, or take the next step of its rotation",
}


def add_commands(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """list, init, next, switch, withdraw; generate, register, unregister."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    added = {name: commands.add_parser(name, help=text) for name, text in _HELP.items()}
    for name, command in added.items():
        if name not in ("generate", "cluster"):
            command.add_argument(
                "--trusted", metavar="FILE", default=environ.get(TRUSTED, ""), help=f"trusted keys; else {TRUSTED}"
            )
        if name in ("init", "next", "switch", "withdraw"):
            command.add_argument(
                "--private", metavar="FILE", default=environ.get(PRIVATE, ""), help=f"the edge's key; else {PRIVATE}"
            )
        command.set_defaults(run=_COMMANDS[name])
    added["withdraw"].add_argument(
        "--at-once", action="store_true", help="do not wait: for a key that was stolen; calls under way may fail"
    )
    added["generate"].add_argument("file", type=Path, help="where the private key goes; the service keeps it secret")
    register = added["register"]
    register.add_argument("name", help="the issuer's name: the `iss` of its tokens")
    register.add_argument("public", type=Path, help="file with its public JWK")
    register.add_argument(
        "--audience",
        action="append",
        required=True,
        help="a function that it may call, for instance embed_fn; repeatable",
    )
    register.add_argument("--scope", action="append", default=[], help="a scope that its tokens may carry; repeatable")
    tenants = register.add_mutually_exclusive_group(required=True)
    tenants.add_argument("--tenant", action="append", help="a tenant that it may speak for; repeatable")
    tenants.add_argument("--all-tenants", action="store_true", help="it may speak for every tenant")
    cluster_keys.add_arguments(added["cluster"], environ)
    added["unregister"].add_argument("name")
    added["unregister"].add_argument("--key", default="", help="only this key of it")


async def _list(options: argparse.Namespace, output: Output) -> None:
    rows = [
        {
            "issuer": entry.name,
            "keys": list(entry.key_ids),
            "audiences": _limit(entry.audiences),
            "scopes": _limit(entry.scopes),
            "tenants": _limit(entry.tenants),
        }
        for entry in issuers.listing(_trusted(options))
    ]
    output.table(rows, ("issuer", "keys", "audiences", "scopes", "tenants"))


async def _init(options: argparse.Namespace, output: Output) -> None:
    private, trusted = _private(options), _trusted(options)
    if private.exists():
        raise AdminError(f"{private} is there already; replace its key with `next`, `switch` and `withdraw`")
    kid = write_key_pair(private, trusted)
    await _note(options, "service_key.made", kid)
    output.done(f"Made {kid}: the edge keeps {private}, every function reads {trusted}.", key=kid)


async def _next(options: argparse.Namespace, output: Output) -> None:
    kid = issuers.prepare(_private(options), _trusted(options))
    await _note(options, "service_key.published", kid)
    output.done(f"Published {kid}. When every function has read it: `switch`.", key=kid)


async def _switch(options: argparse.Namespace, output: Output) -> None:
    kid = issuers.switch(_private(options), _trusted(options))
    await _note(options, "service_key.switched", kid)
    output.done(f"The edge signs with {kid} within a second. In 15 minutes: `withdraw`.", key=kid)


async def _withdraw(options: argparse.Namespace, output: Output) -> None:
    gone = issuers.withdraw(_private(options), _trusted(options), at_once=options.at_once)
    for kid in gone:
        await _note(options, "service_key.withdrawn", kid)
    output.done(f"Trusted no more: {', '.join(gone) or 'none, there was no other key'}.", withdrawn=gone)


async def _generate(options: argparse.Namespace, output: Output) -> None:
    public_file = options.file.with_name(options.file.name + ".public")
    for file in (options.file, public_file):
        if file.exists():
            raise AdminError(f"{file} is there already")
    private, public = generate_key()
    replace_file(options.file, private, 0o600)
    replace_file(public_file, public, 0o644)
    output.done(f"{options.file} signs; {public_file} is what gets registered.", key=public["kid"])


async def _register(options: argparse.Namespace, output: Output) -> None:
    try:
        public: dict[str, Any] = json.loads(options.public.read_bytes())
    except (OSError, ValueError) as error:
        raise AdminError(f"{options.public}: {error}") from error
    tenants = None if options.all_tenants else options.tenant
    kid = issuers.register(
        _trusted(options), options.name, public, audiences=options.audience, scopes=options.scope, tenants=tenants
    )
    await _note(
        options,
        "service_key.registered",
        options.name,
        key=kid,
        audiences=sorted(options.audience),
        scopes=sorted(options.scope),
        tenants=None if tenants is None else sorted(tenants),
    )
    output.done(f"Tokens of {options.name} with key {kid} are accepted within a second.", issuer=options.name, key=kid)


async def _unregister(options: argparse.Namespace, output: Output) -> None:
    if not issuers.unregister(_trusted(options), options.name, options.key):
        raise AdminError(f"no such issuer or key is trusted: {' '.join((options.name, options.key)).strip()}")
    await _note(options, "service_key.unregistered", options.name, key=options.key)
    output.done(f"Trusted no more: {options.name} {options.key}".rstrip() + ".", issuer=options.name, key=options.key)


async def _note(options: argparse.Namespace, action: str, target: str, **details: Any) -> None:
    """Where the database is known: key files are often made before there is one."""
    if options.database:
        async with platform_transaction(options) as connection:
            await note(connection, PLATFORM, action, target, **details)


def _trusted(options: argparse.Namespace) -> Path:
    if not options.trusted:
        raise AdminError(f"set {TRUSTED}, or give --trusted: the file of trusted keys that the functions read")
    return Path(options.trusted)


def _private(options: argparse.Namespace) -> Path:
    if not options.private:
        raise AdminError(f"set {PRIVATE}, or give --private: the file of the key that the edge signs with")
    return Path(options.private)


def _limit(values: Any) -> Any:
    return "all" if values is None else list(values)


_COMMANDS: Final = {
    "list": _list,
    "init": _init,
    "next": _next,
    "switch": _switch,
    "withdraw": _withdraw,
    "generate": _generate,
    "register": _register,
    "unregister": _unregister,
    "cluster": cluster_keys.run,
}
