"""A development model server on a free port, over HTTP, and what talks to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from devstack.model_server.server import serving
from devstack.model_server.settings import Settings, Simulation


class Server:
    """The server's address and its control API."""

    def __init__(self, address: str, http: httpx.AsyncClient) -> None:
        self.host, _, port = address.rpartition(":")
        self.port = int(port)
        self.http = http

    async def configure(self, **knobs: float) -> None:
        (await self.http.put("/_sim/config", json=knobs)).raise_for_status()

    async def fault(self, **fault: Any) -> None:
        (await self.http.post("/_sim/faults", json=fault)).raise_for_status()

    async def wait(self, **query: Any) -> list[dict[str, Any]]:
        """Requests that match, as soon as there are enough of them."""
        response = await self.http.get("/_sim/wait", params={"timeout_s": 5, **query})
        assert response.status_code == 200, response.text
        return list(response.json()["requests"])

    async def chat(self, text: str = "Explain tides", model: str = "sim", **body: Any) -> httpx.Response:
        messages = [{"role": "user", "content": text}]
        return await self.http.post("/api/chat", json={"model": model, "messages": messages, **body})

    async def open(self, body: Mapping[str, Any], path: str = "/api/chat") -> asyncio.StreamWriter:
        """Send a request on a connection of its own and read nothing."""
        data = json.dumps(body).encode()
        _, writer = await asyncio.open_connection(self.host, self.port)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        return writer


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    simulation = Simulation(ttft_ms=1, token_ms=0, tokens=8, pull_ms=0)
    async with (
        serving(Settings(port=0, simulation=simulation)) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=10) as http,
    ):
        yield Server(address, http)


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    """The objects of an NDJSON answer."""
    return [json.loads(line) for line in response.text.splitlines()]


def text_of(response: httpx.Response) -> str:
    """The content of a streamed chat."""
    return "".join(line["message"]["content"] for line in lines(response))
