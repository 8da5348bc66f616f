"""The process: how it starts, says where it listens, refuses bad settings and stops."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping

import httpx
import pytest
from devstack.model_server.settings import Settings, SettingsError, Simulation


async def start(*args: str, environ: Mapping[str, str] | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "devstack.model_server",
        *args,
        env=dict(environ or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_it_prints_its_address_and_a_sigterm_stops_it_in_mid_stream() -> None:
    process = await start("--listen", "127.0.0.1:0", environ={"DORMOUSE_SIM_TOKEN_MS": "60000"})
    assert process.stdout is not None
    serving = json.loads(await asyncio.wait_for(process.stdout.readline(), 10))
    assert serving["event"] == "serving"
    body = {"model": "sim", "messages": [{"role": "user", "content": "hi"}]}
    async with httpx.AsyncClient(base_url=f"http://{serving['address']}", timeout=10) as http:
        assert "not an LLM" in (await http.get("/")).text
        assert (await http.head("/")).status_code == 200
        assert (await http.get("/api/version")).json()["version"].endswith("-dormouse-dev")
        async with http.stream("POST", "/api/chat", json=body) as response:
            parts = response.aiter_raw()
            assert await anext(parts)
            process.terminate()
            assert await asyncio.wait_for(process.wait(), 2) == 0
            with pytest.raises(httpx.TransportError):
                await anext(parts)


async def test_help_says_that_it_is_not_an_llm() -> None:
    process = await start("--help")
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert b"not an LLM" in b" ".join(out.split())


async def test_an_address_that_is_taken_is_a_clear_error() -> None:
    first = await start("--listen", "127.0.0.1:0")
    assert first.stdout is not None
    address = json.loads(await first.stdout.readline())["address"]
    second = await start("--listen", address)
    _, errors = await second.communicate()
    assert second.returncode == 2
    assert b"address already in use" in errors
    first.terminate()
    await first.wait()


def test_settings_come_from_the_command_line_before_the_environment() -> None:
    environ = {"OLLAMA_NUM_PARALLEL": "4", "DORMOUSE_SIM_TTFT_MS": "7.5", "DORMOUSE_LISTEN": "[::1]:99"}
    settings = Settings.read(["--slots", "2", "--tokens", "5"], environ)
    assert settings == Settings("::1", 99, 5000, Simulation(slots=2, tokens=5, ttft_ms=7.5))


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"OLLAMA_NUM_PARALLEL": "many"}, "OLLAMA_NUM_PARALLEL wants a number"),
        ({"DORMOUSE_SIM_TOKENS": "-3"}, "tokens wants a number that is not negative"),
        ({"DORMOUSE_LISTEN": "nowhere"}, "DORMOUSE_LISTEN (--listen) wants host:port"),
    ],
)
def test_a_bad_setting_is_refused_by_name(environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read([], environ)
    assert named in str(caught.value)
