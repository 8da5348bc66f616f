"""Entry point: python -m loadtest.transcripts."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from devstack.errors import DevstackError
from devstack.postgres import SUPERUSER, Postgres
from devstack.services import provider_server_program

from loadtest.platform_stack import ANY, Stack, whole_platform
from loadtest.transcripts.exchanges import ExchangeError
from loadtest.transcripts.recording import FOLDER, differences, record, write
from loadtest.transcripts.setting import TODAY, make_shop, tools_config, tools_environment

MODEL = "dormouse-dev:latest"


async def recorded() -> dict[str, str]:
    """Start a platform with made-up providers, play every scene, and return the pages."""
    async with whole_platform({"ttft_ms": 1, "token_ms": 0}, tools=_tools, model=MODEL) as stack:
        url = f"http://{stack.addresses['edge']}"
        return await record(url, stack.credentials.api_key, stack.addresses["providers"])


async def _tools(stack: Stack, postgres: Postgres) -> Mapping[str, str]:
    provider = await stack.start("providers", provider_server_program(stack.environ, listen=ANY, today=TODAY))
    config = stack.folder / "tools.yaml"
    config.write_text(tools_config(provider), encoding="utf-8")
    shop = await make_shop(postgres.url(SUPERUSER))
    return {"DORMOUSE_TOOLS_CONFIG": str(config), **tools_environment(shop)}


def main() -> int:
    """Write the pages, or with --check compare them; 1 when they differ or a request is refused."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.transcripts", description="Transcripts of the agents.")
    parser.add_argument("--check", action="store_true", help="change nothing; 1 when the pages are not current")
    parser.add_argument("--folder", type=Path, default=FOLDER, metavar="PATH", help=f"where the pages are ({FOLDER})")
    arguments = parser.parse_args()
    try:
        pages = asyncio.run(recorded())
    except (DevstackError, ExchangeError, RuntimeError, OSError) as error:
        print(f"transcripts: {error}", file=sys.stderr)
        return 1
    if not arguments.check:
        write(pages, arguments.folder)
        print(f"{len(pages)} pages in {arguments.folder}")
        return 0
    for name in (changed := differences(pages, arguments.folder)):
        print(f"{arguments.folder / name} is not current: run `make transcripts`", file=sys.stderr)
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
