"""One development provider server for all of these tests, and the tools that use it."""

import datetime
from collections.abc import AsyncIterator

import httpx
import pytest
from devstack.provider_server.server import serving
from devstack.provider_server.state import Settings

from tests.contract.tool_fn.providers.tools import ProviderServer, Tools, tools


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ProviderServer]:
    async with (
        serving(Settings(port=0, today=datetime.date(2026, 7, 1))) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=5) as http,
    ):
        yield ProviderServer(http, f"http://{address}")


@pytest.fixture(scope="module")
async def online(server: ProviderServer) -> AsyncIterator[Tools]:
    """Every provider is configured; searches go to Tavily."""
    async with tools(server.configuration(searxng=True), {"TAVILY_API_KEY": "tvly-dev"}) as found:
        yield found


@pytest.fixture(autouse=True)
async def fresh(server: ProviderServer) -> None:
    await server.forget()
