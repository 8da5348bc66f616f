"""`dormouse admin audit`: the audit log, examined as the database's owner."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from edge.audit.verification import AnchorError, dump_anchors, export_heads, load_anchors, verify

from .database import opened
from .errors import AdminError
from .output import Output


def add_commands(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """verify, head."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    verifying = commands.add_parser("verify", help="verify the chains, and that what anchors name is still there")
    verifying.add_argument("--tenant", help="of one tenant; '*' is the platform's own")
    verifying.add_argument("--anchors", type=Path, metavar="FILE", help="what `head` has printed, once or often")
    verifying.set_defaults(run=_verify)
    head = commands.add_parser("head", help="print the chains' ends, to be kept elsewhere as anchors")
    head.set_defaults(run=_head)


async def _verify(options: argparse.Namespace, output: Output) -> None:
    try:
        anchors = load_anchors(options.anchors.read_text()) if options.anchors else []
    except (AnchorError, OSError) as error:
        raise AdminError(f"the anchors: {error}") from error
    async with opened(options) as connection:
        reports = await verify(connection, tenant=options.tenant, anchors=anchors)
    rows = [
        {
            "tenant": report.tenant,
            "whole": report.is_whole,
            "entries": report.entries,
            "findings": list(report.findings),
        }
        for report in reports
    ]
    output.table(rows, ("tenant", "whole", "entries", "findings"))
    if not all(report.is_whole for report in reports):
        raise AdminError("the audit log is not whole")


async def _head(options: argparse.Namespace, output: Output) -> None:
    async with opened(options) as connection:
        # One line of JSON each, whatever the format: it is a file for `verify --anchors`.
        output.raw(dump_anchors(await export_heads(connection)))
