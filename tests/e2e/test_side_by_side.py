"""Tools of one turn run side by side. What a call costs is measured by `python -m loadtest.tools`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from loadtest.tools import Driver, two_waits
from tests.e2e.conftest import Agents
from tests.stack import Tenant


@pytest.fixture
async def driver(agents: Agents, tenant: Tenant) -> AsyncIterator[Driver]:
    async with aiohttp.ClientSession() as http:
        yield Driver(http, edge=agents.edge.address, model_server=agents.model_server.address, api_key=tenant.api_key)


async def test_two_tools_of_a_second_run_side_by_side(driver: Driver) -> None:
    (took,) = await driver.times([two_waits()])
    assert 900 <= took < 1900
