"""Entry point: python -m devstack.provider_server."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import date

from devstack.provider_server.server import serve
from devstack.provider_server.state import ABOUT, Settings


def main() -> int:
    """Run the server; 2 when a setting is wrong or the address is taken."""
    try:
        asyncio.run(serve(read(sys.argv[1:], os.environ)))
    except (ValueError, OSError) as error:
        print(f"provider server: {error}", file=sys.stderr)
        return 2
    return 0


def read(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Settings from the command line and DORMOUSE_LISTEN. Raises ValueError."""
    parser = argparse.ArgumentParser(prog="python -m devstack.provider_server", description=ABOUT)
    parser.add_argument("--listen", metavar="HOST:PORT", help="address, port 0 = any (DORMOUSE_LISTEN, 127.0.0.1:8790)")
    parser.add_argument("--today", metavar="YYYY-MM-DD", help="the first day of all forecasts (the real one)")
    arguments = parser.parse_args(argv)
    text = arguments.listen or environ.get("DORMOUSE_LISTEN") or "127.0.0.1:8790"
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"DORMOUSE_LISTEN (--listen) wants host:port, not {text!r}")
    today = date.fromisoformat(arguments.today) if arguments.today else None
    return Settings(host.strip("[]"), int(port), today)


if __name__ == "__main__":
    sys.exit(main())
