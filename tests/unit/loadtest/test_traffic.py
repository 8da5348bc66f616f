"""Locust's users against the real platform: what they count, and that a bad build shows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.gate.budget import read_budget
from loadtest.gate.judge import Verdict, judge
from loadtest.prove import candidate
from loadtest.results import GAP, TTFT, Result
from loadtest.run import run
from loadtest.traffic.settings import Settings
from loadtest.trial import Trial, rounds, trial
from tests.stack import Platform, Tenant

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


@contextlib.contextmanager
def api_key(tenant: Tenant) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DORMOUSE_API_KEY", tenant.api_key)
        yield


async def test_plain_chats_are_counted_to_the_last(platform: Platform, tenant: Tenant, tmp_path: Path) -> None:
    model, watch = "sim:latest", f"edge=http://{platform.edge.metrics_address}/metrics"
    result = await played(
        platform.edge.url,
        tenant.api_key,
        tmp_path / "r",
        scenario="chat",
        users=4,
        seconds=2,
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


async def test_a_build_that_loses_streams_and_leaks_is_refused_for_both(
    platform: Platform, tenant: Tenant, tmp_path: Path
) -> None:
    """The edge itself, with faults: a candidate beside the accepted one, as in `python -m loadtest prove`."""

    def tried() -> Result:
        with candidate(platform.edge.pid, ["--lost", "0.1", "--leak", "500000"], tmp_path / "log") as (
            address,
            metrics,
        ):
            watched = {"watch": f"edge=http://{metrics}/metrics", "watch_s": 0.1}
            told = {"scenario": "chat", "users": 8, "seconds": 4, "model": "sim:latest", **watched}
            settings = Settings(out=str(tmp_path / "r"), think_s=0.0, **told)  # type: ignore[arg-type]
            return _played(settings, f"http://{address}", tenant.api_key)

    result = await asyncio.to_thread(tried)
    chat = result.scenarios["chat"]
    assert chat.streams >= 30
    assert set(chat.errors) == {"truncated"}
    assert chat.examples["truncated"]
    (tmp_path / "budget.yaml").write_text(BUDGET)
    judgement = judge(read_budget(tmp_path / "budget.yaml"), [result])
    refused = {each.figure for each in judgement.findings if each.verdict is Verdict.REFUSED}
    assert refused == {"lost", "rss_bytes_per_stream"}, judgement.findings


async def test_a_build_that_is_30_percent_slower_is_refused(platform: Platform, tenant: Tenant, tmp_path: Path) -> None:
    (tmp_path / "budget.yaml").write_text(BUDGET.partition("processes:")[0])
    # Less sure than a release has to be: `python -m loadtest prove` and the simulations of test_gate.py are strict.
    budget = replace(read_budget(tmp_path / "budget.yaml"), confidence=0.9, rounds=3, most_rounds=9)
    settings = Settings(scenario="chat", users=8, seconds=2, think_s=0.0, model="sim:latest", session="s")

    def tried() -> Trial:
        with candidate(platform.edge.pid, ["--slower", "1.3"], tmp_path / "log") as (address, _), api_key(tenant):
            return trial(budget, rounds(settings, f"http://{address}", platform.edge.url, tmp_path))

    ended = await asyncio.to_thread(tried)
    refused = {each.figure for each in ended.judgement.findings if each.verdict is Verdict.REFUSED}
    assert ended.judgement.verdict is Verdict.REFUSED, ended.judgement.findings
    assert refused == {"token_ms_p50"}
    ours, theirs = (len(each) for each in (ended.candidate, ended.baseline))
    assert ours == theirs == ended.judgement.rounds
    assert ended.baseline[0].about["host"] == platform.edge.url


def test_nothing_that_starts_locust_is_patched_by_gevent() -> None:
    code = "import sys, loadtest.__main__, releases.__main__; sys.exit(bool({'gevent', 'locust'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], timeout=60, check=False)
    assert done.returncode == 0


IN_LOCUST = """
import json, types
import gevent
from loadtest.results import Result
from loadtest.traffic import users
from loadtest.traffic.settings import Settings
from loadtest.traffic.shapes import PROFILES
made = {name: each(Settings(users=10, seconds=90), Result) for name, each in PROFILES.items()}
shapes = {name: [each.at(s) for s in range(90)] for name, each in made.items() if name != "breakpoint"}

def killed():
    lost = []
    users.StreamingUser.report = staticmethod(lambda side, scenario, stream: lost.append(stream.error))
    user = types.SimpleNamespace(side="candidate", scenario="s", play=lambda: gevent.sleep(60))
    asking = gevent.spawn(users.StreamingUser.ask, user)
    gevent.sleep(0.05)
    asking.kill()
    return lost

in_haste = killed()
users.STOP_S = 1.04
print(json.dumps([shapes, in_haste, killed()]))
"""


def test_profiles_have_the_users_that_their_names_promise_and_only_what_was_waited_for_is_lost() -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", IN_LOCUST], cwd=root, timeout=60, check=True, capture_output=True)
    users, in_haste, waited_for = json.loads(done.stdout)
    assert set(users["smoke"]) == {10}
    assert users["steady"][0] < users["steady"][-1] == 10
    assert (min(users["burst"]), max(users["burst"])) == (10, 100)
    assert users["cold"].count(0) > 4 * users["cold"].count(10) * 0.9 > 0
    # Locust ends a resting user at once, and one that goes on in that moment has not lost a stream.
    assert (in_haste, waited_for) == ([], ["unfinished"])
