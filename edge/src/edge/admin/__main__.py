"""The command line `dormouse`, also `python -m edge.admin`."""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from dormouse_runtime.errors import DormouseError
from dormouse_runtime.issuers import RotationError
from dormouse_runtime.keys import KeyFileError

from edge.errors import ApiError

from . import audit, keys, service_keys, tenants, users
from .database import add_options
from .errors import AdminError
from .output import Output

_SUBJECTS: Final = {
    "tenants": ("tenants, their plans and settings", tenants.add_commands),
    "users": ("users of a tenant", users.add_commands),
    "keys": ("API keys of a tenant", keys.add_commands),
    "plans": ("what tenants may take", tenants.add_plan_commands),
    "audit": ("the audit log", audit.add_commands),
    "service-keys": ("key files of the platform's parts and of internal services", service_keys.add_commands),
}
_EPILOG: Final = """\
the first steps of an installation:
  dormouse admin service-keys init --private service-key.json --trusted trusted-keys.json
  python -m migrations
  dormouse admin tenants create acme --plan unlimited
  dormouse admin users create --tenant acme --role admin ada@example.org
  dormouse admin keys create --tenant acme --user ada@example.org --role admin "First key"

exit codes: 0 done, 1 refused, 2 not understood
"""


def parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """What the command line understands."""
    top = argparse.ArgumentParser(prog="dormouse", description="Dormouse, at the command line.")
    areas = top.add_subparsers(metavar="AREA", required=True)
    admin = areas.add_parser(
        "admin",
        help="look after an installation",
        description="Look after an installation: works on its database and key files directly, and notes what it does "
        "in the audit log.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(admin, environ)
    admin.add_argument("--json", action="store_true", help="print one JSON document")
    subjects = admin.add_subparsers(metavar="SUBJECT", required=True)
    for name, (text, add_commands) in _SUBJECTS.items():
        add_commands(subjects.add_parser(name, help=text, description=f"About {text}."), environ)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. 0: done. 1: refused, standard error says why. 2: not understood."""
    options = parser(os.environ).parse_args(arguments)
    try:
        asyncio.run(options.run(options, Output(as_json=options.json)))
    except (AdminError, KeyFileError, RotationError, OSError) as error:
        return _refused(str(error))
    except (ApiError, DormouseError) as error:
        return _refused(error.message)
    except KeyboardInterrupt:
        return _refused("interrupted")
    return 0


def _refused(why: str) -> int:
    sys.stderr.write(f"dormouse: {why}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(["admin", *sys.argv[1:]]))
