"""The development provider server as a process: it says where it listens and what it is, always the same, and stops."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from devstack.provider_server.__main__ import read
from devstack.provider_server.server import serving
from devstack.provider_server.state import HEADER, Settings


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "devstack.provider_server",
        *arguments,
        env={},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_it_prints_its_address_and_a_sigterm_stops_it() -> None:
    async with started("--listen", "127.0.0.1:0", "--today", "2026-07-01") as process:
        assert process.stdout is not None
        line = json.loads(await process.stdout.readline())
        assert line["event"] == "serving"
        async with httpx.AsyncClient(base_url=f"http://{line['address']}", timeout=5) as http:
            assert "made-up data" in (await http.get("/")).text
        process.terminate()
        async with asyncio.timeout(3):
            assert await process.wait() == 0


async def test_a_wrong_setting_is_a_clear_error() -> None:
    async with started("--listen", "nowhere") as process:
        _, error = await process.communicate()
        assert process.returncode == 2
        assert b"wants host:port" in error


@pytest.mark.parametrize(("text", "port"), [("127.0.0.1:0", 0), ("[::1]:80", 80)])
def test_the_address_may_come_from_the_environment(text: str, port: int) -> None:
    assert read([], {"DORMOUSE_LISTEN": text}).port == port


async def test_every_answer_says_that_its_data_is_made_up_and_is_the_same_each_time() -> None:
    paths = [
        "/search?q=everest&format=json",
        "/w/api.php?action=query&format=json&formatversion=2&titles=Dormouse&prop=extracts&explaintext=1",
        "/v1/search?name=Paris",
        "/v1/forecast?latitude=52.5&longitude=13.4&daily=temperature_2m_max&timezone=auto&forecast_days=3",
        "/pages/Dormouse",
        "/nothing",
    ]
    async with (
        serving(Settings(port=0)) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=5) as http,
    ):
        for path in paths:
            first, second = await http.get(path), await http.get(path)
            assert first.headers[HEADER] == "1"
            assert first.content == second.content
        assert "development provider server" in (await http.get(paths[0])).text


async def test_what_is_posted_is_kept_with_its_key() -> None:
    async with (
        serving(Settings(port=0)) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=5) as http,
    ):
        await http.post("/notes", json={"a": 1}, headers={"idempotency-key": "k"})
        await http.post("/notes", content="text")
        assert (await http.get("/notes")).json()["notes"] == [
            {"id": 1, "content": {"a": 1}, "key": "k"},
            {"id": 2, "content": "text", "key": ""},
        ]
        assert (await http.post("/_dev/faults", json={"what": 1})).status_code == 400
