"""`python -m edge.audit verify | head`: examines the audit log as the database's owner; see docs/guides/security.md."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

import psycopg

from .verification import AnchorError, dump_anchors, export_heads, load_anchors, verify

VARIABLE = "DORMOUSE_MIGRATIONS_POSTGRES_URL"


def main(arguments: list[str] | None = None) -> int:
    """0: every chain is whole. 1: one is not. 2: it could not be examined."""
    parser = argparse.ArgumentParser(prog="python -m edge.audit", description="Examine the audit log.")
    parser.add_argument("--database", default=os.environ.get(VARIABLE, ""), help=f"the owner's URL; else {VARIABLE}")
    commands = parser.add_subparsers(dest="command", required=True)
    verifying = commands.add_parser("verify", help="verify the chains, and that what anchors name is still there")
    verifying.add_argument("--tenant", help="of one tenant; '*' is the platform's own")
    verifying.add_argument("--anchors", type=Path, help="a file with what `head` has printed")
    commands.add_parser("head", help="print the chains' ends, to be kept elsewhere as anchors")
    options = parser.parse_args(arguments)
    if not options.database:
        parser.error(f"wants --database or {VARIABLE}: the URL of the database's owner")
    try:
        if options.command == "head":
            return asyncio.run(_head(options.database))
        return asyncio.run(_verify(options.database, options.tenant, options.anchors))
    except (AnchorError, OSError, psycopg.Error) as error:
        sys.stderr.write(f"can't examine the audit log: {error}\n")
        return 2


async def _head(url: str) -> int:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        sys.stdout.write(dump_anchors(await export_heads(connection)))
    return 0


async def _verify(url: str, tenant: str | None, file: Path | None) -> int:
    anchors = load_anchors(await asyncio.to_thread(file.read_text)) if file else []
    async with await psycopg.AsyncConnection.connect(url) as connection:
        reports = await verify(connection, tenant=tenant, anchors=anchors)
    for report in reports:
        word = "whole" if report.is_whole else "BROKEN"
        sys.stdout.write(f"{report.tenant}: {word}, {report.entries} entries, ends with {report.last_hash.hex()}\n")
        for finding in report.findings:
            sys.stdout.write(f"  {finding}\n")
    return 0 if all(report.is_whole for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
