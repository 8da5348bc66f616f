"""Built-in tools on a configuration of a test's own, called as the function calls them."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from tool_fn.config import Config, Secrets
from tool_fn.means import open_means
from tool_fn.registry import Registry
from tool_fn.tool import Call, ToolError


class Tools:
    """All tools by name."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def call(self, name: str, key: str = "", **arguments: Any) -> str:
        """What the model reads. Raises ToolError."""
        tool = await self._registry.find(name)
        assert tool is not None
        deadline = asyncio.get_running_loop().time() + tool.time_limit_s
        return await tool.invoke(json.dumps(arguments).encode(), Call("tenant", "user", "run_1", key, deadline))

    async def error(self, name: str, key: str = "", **arguments: Any) -> str:
        """The error that the model reads; there must be one."""
        with pytest.raises(ToolError) as failed:
            await self.call(name, key, **arguments)
        return str(failed.value)


@asynccontextmanager
async def tools(config: Mapping[str, Any], secrets: Mapping[str, str] | None = None) -> AsyncIterator[Tools]:
    async with open_means(msgspec.convert(config, Config), Secrets(secrets or {})) as means:
        yield Tools(Registry.build(means))


class ProviderServer:
    """A development provider server, and its control API."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self.http = http
        self.url = url
        self.address = url.removeprefix("http://")

    def configuration(self, *, searxng: bool = False) -> dict[str, Any]:
        """Every provider is this server."""
        return {
            "http": {"allow_private": [self.address], "contact": "ops@example.org"},
            "search": {"tavily_url": self.url, "searxng_url": self.url if searxng else ""},
            "wikipedia": {"url": self.url + "/{language}/w/api.php"},
            "weather": {"geocoding_url": self.url, "forecast_url": self.url},
        }

    async def fault(self, **fault: Any) -> None:
        (await self.http.post("/_dev/faults", json=fault)).raise_for_status()

    async def asked(self) -> list[dict[str, Any]]:
        """What was asked so far."""
        return list((await self.http.get("/_dev/requests")).json()["requests"])

    async def forget(self) -> None:
        await self.http.delete("/_dev/requests")
        await self.http.delete("/_dev/faults")
