"""curl with the README's own lines: what arrives, going on where one left, and leaving."""

import asyncio
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.clients.simulation import Simulation, steering
from tests.stack import Platform, Tenant

README = Path(__file__).parents[2] / "README.md"
TIMEOUT_S = 30

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl was not tested: there is none here")


def example(part: str) -> str:
    """The README's first shell lines with this in them, from the chapter about using Dormouse."""
    chapters = re.split(r"^## ", README.read_text(), flags=re.MULTILINE)
    (use,) = (text for text in chapters if text.startswith("Use\n"))
    found: list[str] = re.findall(r"^```sh\n(.*?)^```$", use, flags=re.MULTILINE | re.DOTALL)
    return next(lines for lines in found if part in lines)


async def run(platform: Platform, tenant: Tenant, lines: str) -> str:
    """What the shell lines print; they must succeed."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", lines),
        env={**os.environ, "DORMOUSE_URL": platform.edge.url, "DORMOUSE_API_KEY": tenant.api_key},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(TIMEOUT_S):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@needs_curl
async def test_the_curl_line_streams_an_answer(platform: Platform, tenant: Tenant) -> None:
    said = await run(platform, tenant, example("chat/completions"))
    assert "development model" in "".join(re.findall(r'"content":"([^"]*)"', said))
    assert said.endswith("data: [DONE]\n\n")
    assert "\r" not in said


@needs_curl
async def test_the_run_in_the_background_is_followed_and_gone_on_with(platform: Platform, tenant: Tenant) -> None:
    said = await run(platform, tenant, example("Last-Event-ID"))
    numbers = [int(number) for number in re.findall(r"^id: (\d+)$", said, flags=re.MULTILINE)]
    last = numbers.index(max(numbers)) + 1
    assert numbers[:last] == list(range(1, last + 1))
    assert numbers[last:] == list(range(21, last + 1))
    assert said.count("event: run.finished\n") == 1 + (last > 20)


@needs_curl
async def test_a_curl_that_is_killed_stops_the_model(fragile: Platform, tenant: Tenant, simulation: Simulation) -> None:
    body = '{"model": "sim", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}'
    headers = ("-H", f"Authorization: Bearer {tenant.api_key}", "-H", "Content-Type: application/json")
    async with simulation.configured(token_ms=5, tokens=10_000):
        curl = await asyncio.create_subprocess_exec(
            *("curl", "-sN", f"{fragile.edge.url}/v1/chat/completions", *headers, "-d", body),
            stdout=asyncio.subprocess.PIPE,
        )
        assert curl.stdout is not None
        async with asyncio.timeout(TIMEOUT_S):
            assert (await curl.stdout.readline()).startswith(b"data: {")
        curl.kill()
        await curl.wait()
        assert (await simulation.wait("aborted", within_s=1))["tokens_sent"] < 1000


@needs_curl
async def test_curl_takes_a_tool_call_and_brings_its_result(tooled: Platform, tenant: Tenant, tmp_path: Path) -> None:
    """With nothing but lines of shell: the answer is put into the next question as it came."""
    function = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    ask: dict[str, Any] = {"model": "react", "messages": [{"role": "user", "content": f"Look up {tenant.id}"}]}
    ask["tools"] = [{"type": "function", "function": function}]
    (tmp_path / "ask.json").write_text(json.dumps(ask))
    post = (
        'curl -s "$DORMOUSE_URL/v1/chat/completions" -H "Authorization: Bearer $DORMOUSE_API_KEY" '
        "-H 'Content-Type: application/json' -d"
    )
    lines = f"""
cd {tmp_path}
{post} @ask.json > asked.json
python3 -c '
import json
ask, message = json.load(open("ask.json")), json.load(open("asked.json"))["choices"][0]["message"]
call = message["tool_calls"][0]
ask["messages"] += [message, {{"role": "tool", "tool_call_id": call["id"], "content": "It rains."}}]
json.dump(ask, open("tell.json", "w"))'
{post} @tell.json
"""
    async with steering(tooled.model_server) as simulation:
        calls = [{"name": "get_weather", "arguments": {"city": "Bonn"}}]
        await simulation.script(
            {"tool_calls": calls, "contains": tenant.id, "results": 0},
            {"content": "Wet.", "contains": tenant.id, "results": 1},
        )
        said = await run(tooled, tenant, lines)
    assert json.loads(said)["choices"][0]["message"]["content"] == "Wet."
