"""Locust's users against the real platform: what they count, and that a bad build shows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from loadtest.gate.budget import read_budget
from loadtest.gate.judge import Verdict, judge
from loadtest.results import GAP, TTFT, Result
from loadtest.run import run
from loadtest.traffic.settings import Settings
from loadtest.trial import trial
from tests.stack import Fleet, Platform, Tenant

BUDGET = """
confidence: 0.95
rounds: 2
most_rounds: 4
relative: {at_most: 1.10, surely_below: 1.30}
scenarios:
  chat: {lost: {at_most: 0.01}, token_ms_p50: {relative: true}}
processes:
  edge: {rss_bytes_per_stream: {at_most: 4096, only: [smoke]}}
"""


async def played(url: str, key: str, out: Path, **settings: object) -> Result:
    """One run of Locust, in a process of its own; this one stays as it is."""
    told = Settings(out=str(out), think_s=0.0, timeout_s=20, **settings)  # type: ignore[arg-type]
    return await asyncio.to_thread(_played, told, url, key)


def _played(settings: Settings, url: str, key: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DORMOUSE_API_KEY", key)
        return run(settings, url, quiet=True)


@contextlib.asynccontextmanager
async def cutting_proxy(edge: str, every: int) -> AsyncIterator[str]:
    """A peer between users and edge that cuts every n-th answer off in its middle."""
    answers = 0

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answers
        host, _, port = edge.rpartition(":")
        up, down = await asyncio.open_connection(host, int(port))

        async def back() -> None:
            nonlocal answers
            while data := await up.read(65536):
                if b"HTTP/1.1 200" in data:
                    answers += 1
                cut = answers % every == 0 and b'"content"' in data
                writer.write(data[: len(data) // 2] if cut else data)
                await writer.drain()
                if cut:
                    answers += 1
                    break
            writer.close()
            down.close()

        task = asyncio.create_task(back())
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                down.write(data)
                await down.drain()
        down.close()
        with contextlib.suppress(OSError):
            await task

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_plain_chats_are_counted_to_the_last(platform: Platform, tenant: Tenant, tmp_path: Path) -> None:
    model, watch = "sim:latest", f"edge=http://{platform.edge.metrics_address}/metrics"
    result = await played(
        platform.edge.url,
        tenant.api_key,
        tmp_path / "r",
        scenario="chat",
        users=4,
        seconds=3,
        model=model,
        same_text=True,
        watch=watch,
    )
    chat = result.scenarios["chat"]
    assert chat.streams == chat.complete > 4
    assert chat.tokens == 64 * chat.streams
    assert chat.histograms[TTFT].count == chat.streams
    assert chat.histograms[GAP].count > chat.streams
    assert sum(second.tally.streams for second in result.timeline.values()) == chat.streams
    assert result.processes["edge"][-1].resident_bytes > 10e6


@contextlib.asynccontextmanager
async def leaking_metrics() -> AsyncIterator[str]:
    """Metrics of a process that keeps more and more: 2 MB a second."""
    began = time.monotonic()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        kept = 100e6 + 2e6 * (time.monotonic() - began)
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nprocess_resident_memory_bytes %f\n" % kept)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/metrics"


async def test_a_build_that_loses_streams_and_leaks_is_refused_for_both(
    platform: Platform, tenant: Tenant, tmp_path: Path
) -> None:
    async with cutting_proxy(platform.edge.address, every=30) as url, leaking_metrics() as metrics:
        watched = {"watch": f"edge={metrics}", "watch_s": 0.1}
        result = await played(
            url, tenant.api_key, tmp_path / "r", scenario="chat", users=8, seconds=4, model="sim:latest", **watched
        )
    chat = result.scenarios["chat"]
    assert chat.streams >= 30
    assert chat.errors
    assert set(chat.errors) <= {"torn", "truncated"}
    (tmp_path / "budget.yaml").write_text(BUDGET)
    judgement = judge(read_budget(tmp_path / "budget.yaml"), [result])
    refused = {each.figure for each in judgement.findings if each.verdict is Verdict.REFUSED}
    assert refused == {"lost", "rss_bytes_per_stream"}, judgement.findings


async def test_a_gpu_that_is_30_percent_slower_is_refused(fleet: Fleet, tenant: Tenant, tmp_path: Path) -> None:
    """Candidate and accepted release have a model server each, so that only its pace tells them apart."""
    (tmp_path / "budget.yaml").write_text(BUDGET.partition("processes:")[0])
    budget = read_budget(tmp_path / "budget.yaml")
    edges = {}
    for side, token_ms in (("candidate", 78.0), ("baseline", 60.0)):
        agent_fn = await fleet.agent_fn(await fleet.model_server(ttft_ms=20, token_ms=token_ms, tokens=12))
        edges[side] = (await fleet.edge(agent_fn)).url

    def play(side: str, number: int) -> Result:
        out = tmp_path / f"{side}-{number}"
        told = {"scenario": "chat", "users": 8, "seconds": 1.0, "model": "sim:latest", "session": "turns"}
        return _played(Settings(out=str(out), think_s=0.0, **told), edges[side], tenant.api_key)  # type: ignore[arg-type]

    ended = await asyncio.to_thread(trial, budget, play)
    refused = {each.figure for each in ended.judgement.findings if each.verdict is Verdict.REFUSED}
    assert ended.judgement.verdict is Verdict.REFUSED, ended.judgement.findings
    assert refused == {"token_ms_p50"}


def test_nothing_that_starts_locust_is_patched_by_gevent() -> None:
    code = "import sys, loadtest.__main__, releases.__main__; sys.exit(bool({'gevent', 'locust'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], timeout=60, check=False)
    assert done.returncode == 0


SHAPES = """
import json, sys
from loadtest.traffic.shapes import PROFILES
from loadtest.traffic.settings import Settings
from loadtest.results import Result
made = {name: each(Settings(users=10, seconds=90), Result) for name, each in PROFILES.items()}
print(json.dumps({name: [each.at(s) for s in range(90)] for name, each in made.items() if name != "breakpoint"}))
"""


def test_profiles_have_the_users_that_their_names_promise() -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", SHAPES], cwd=root, timeout=60, check=True, capture_output=True)
    users = json.loads(done.stdout)
    assert set(users["smoke"]) == {10}
    assert users["steady"][0] < users["steady"][-1] == 10
    assert (min(users["burst"]), max(users["burst"])) == (10, 100)
    assert users["cold"].count(0) > 4 * users["cold"].count(10) * 0.9 > 0
