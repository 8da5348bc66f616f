"""What a tool call costs beside the tool, by the edge's clock; the benchmark `python -m loadtest.tools` takes more."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from loadtest.figures import percentile
from loadtest.tools import Driver, one_sum, two_waits
from tests.e2e.conftest import Agents
from tests.stack import Tenant


@pytest.fixture
async def driver(agents: Agents, tenant: Tenant) -> AsyncIterator[Driver]:
    async with aiohttp.ClientSession() as http:
        yield Driver(http, edge=agents.edge.address, model_server=agents.model_server.address, api_key=tenant.api_key)


async def test_a_call_costs_a_few_milliseconds(driver: Driver) -> None:
    await driver.times([one_sum(number) for number in range(3)])
    times = await driver.times([one_sum(number) for number in range(30)])
    assert percentile(times, 0.5) <= 8


async def test_two_tools_of_a_second_take_one_second(driver: Driver) -> None:
    (took,) = await driver.times([two_waits()])
    assert 900 <= took <= 1200
