"""tool_fn starts fast and small, with all of its tools."""

import psutil
import pytest
from devstack.services import Program, tool_fn_program

from loadtest.cold_start import measure_cold_start
from tests.stack import Fleet, Stack

MOST_MS = 500.0
MOST_MB = 45.0


@pytest.mark.alone
async def test_it_serves_within_half_a_second(stack: Stack) -> None:
    def program(address: str) -> Program:
        return tool_fn_program(
            stack.environment,
            listen=address,
            metrics_listen="127.0.0.1:0",
            trusted_keys=stack.credentials.trusted_keys,
            postgres_url=stack.database.url,
        )

    # The shortest: what else this machine does only adds to it.
    assert (await measure_cold_start("tool_fn", program, 5)).least_ms < MOST_MS


async def test_it_serves_in_45_megabytes(fleet: Fleet) -> None:
    tool_fn = await fleet.tool_fn()
    assert psutil.Process(tool_fn.pid).memory_info().rss / 1e6 < MOST_MB
