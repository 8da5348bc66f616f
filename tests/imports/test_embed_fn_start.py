"""embed_fn starts fast and small: no parser, no database driver."""

import psutil
import pytest
from devstack.services import Program, embed_fn_program

from loadtest.cold_start import measure_cold_start
from tests.stack import Fleet, Stack

MOST_MS = 1000.0
MOST_MB = 90.0
NOBODY = "127.0.0.1:1"


@pytest.mark.alone
async def test_it_serves_within_a_second(stack: Stack) -> None:
    def program(address: str) -> Program:
        return embed_fn_program(
            stack.environment,
            listen=address,
            metrics_listen="127.0.0.1:0",
            trusted_keys=stack.credentials.trusted_keys,
            postgres_url=stack.database.url,
            ollama_host=NOBODY,
        )

    # The shortest: what else this machine does only adds to it.
    assert (await measure_cold_start("embed_fn", program, 5)).least_ms < MOST_MS


async def test_it_serves_in_90_megabytes(fleet: Fleet) -> None:
    embed_fn = await fleet.embed_fn(f"http://{NOBODY}")
    assert psutil.Process(embed_fn.pid).memory_info().rss / 1e6 < MOST_MB
