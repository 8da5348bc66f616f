"""The gate: what it refuses, what it lets pass, over hundreds of simulated rounds."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadtest.gate import figures, statistics
from loadtest.gate.budget import BudgetError, read_budget
from loadtest.gate.command import BUDGETS, budget_named
from loadtest.gate.judge import Verdict, judge
from loadtest.gate.page import page
from loadtest.gate.report import as_json, markdown
from loadtest.histogram import Histogram
from loadtest.results import Reading, Result, Second, Stream, Tally
from loadtest.trial import Trial, looks_at, trial, want_watched

BUDGET = """
confidence: 0.99
rounds: 3
most_rounds: 10
relative: {at_most: 1.10, surely_below: 1.30}
scenarios:
  chat:
    lost: {at_most: 0.001, surely_below: 0.005}
    ttft_p95_ms: {at_most: 400, relative: true}
    token_ms_p50: {relative: true}
    whole_p50_ms: {relative: true}
processes:
  edge: {rss_bytes_per_stream: {at_most: 4096, surely_below: 20000}}
"""
SECONDS = 60


@dataclass(frozen=True)
class Build:
    """What is simulated: a build's slowness, losses and leak."""

    slower: float = 1.0
    lost: float = 0.0
    leak: float = 0.0


class Machine:
    """Rounds as a busy machine would give them: 6 % of noise that neighbours share, 4 % of a round's own."""

    def __init__(self, seed: int, builds: dict[str, Build], streams: int = 400) -> None:
        self._random, self._builds, self._streams = random.Random(seed), builds, streams
        self._weather = (-1, 1.0)

    def __call__(self, side: str, number: int) -> Result:
        if self._weather[0] != number:
            self._weather = (number, self._random.lognormvariate(0, 0.06))
        build = self._builds[side]
        pace = build.slower * self._weather[1] * self._random.lognormvariate(0, 0.04)
        about = {"profile": "smoke", "scenario": "chat", "seconds": SECONDS, "session": "s", "release": side}
        result = Result(about)
        for index in range(self._streams):
            error = "torn" if self._random.random() < build.lost else ""
            ttft = 100 * pace * self._random.lognormvariate(0, 0.3)
            whole = ttft + 640 * pace
            stream = Stream(ttft, whole, [10 * pace] * 3, 64, error=error)
            result.add("chat", stream, now=1000 + index * SECONDS / self._streams)
        walk = 100e6
        readings = []
        for at in range(SECONDS):
            walk += self._random.gauss(0, 20_000) + build.leak * self._streams / SECONDS
            readings.append(Reading(at, walk, at * 0.5))
        result.processes["edge"] = readings
        return result


@pytest.fixture
def budget_file(tmp_path: Path) -> Path:
    path = tmp_path / "test.yaml"
    path.write_text(BUDGET)
    return path


def tried(budget_file: Path, seed: int, candidate: Build) -> Trial:
    return trial(read_budget(budget_file), Machine(seed, {"candidate": candidate, "baseline": Build()}))


@pytest.mark.parametrize(
    ("build", "blamed"),
    [
        (Build(slower=1.3), {"token_ms_p50", "whole_p50_ms", "ttft_p95_ms"}),
        (Build(lost=0.005), {"lost"}),
        (Build(leak=20_000), {"rss_bytes_per_stream"}),
    ],
    ids=["slow", "lossy", "leaking"],
)
def test_a_bad_build_is_refused_twenty_times_of_twenty(budget_file: Path, build: Build, blamed: set[str]) -> None:
    for seed in range(20):
        judgement = tried(budget_file, seed, build).judgement
        refused = {finding.figure for finding in judgement.findings if finding.verdict is Verdict.REFUSED}
        assert judgement.verdict is Verdict.REFUSED, (seed, markdown(judgement))
        assert refused <= blamed, (seed, refused)


def test_an_equal_build_passes_twenty_times_of_twenty(budget_file: Path) -> None:
    for seed in range(20):
        judgement = tried(budget_file, 1000 + seed, Build()).judgement
        assert judgement.verdict is Verdict.PASSED, (seed, markdown(judgement))


def test_one_round_of_each_decides_nothing(budget_file: Path) -> None:
    machine = Machine(1, {"candidate": Build(), "baseline": Build()})
    judgement = judge(read_budget(budget_file), [machine("candidate", 0)], [machine("baseline", 0)])
    assert judgement.verdict is Verdict.UNDECIDED


def test_a_baseline_from_another_day_is_compared_without_pairs(budget_file: Path) -> None:
    budget = read_budget(budget_file)
    machine = Machine(5, {"candidate": Build(slower=1.6), "baseline": Build()})
    baseline = [machine("baseline", number) for number in range(6)]
    candidate = [machine("candidate", 100 + number) for number in range(6)]
    for result in baseline:
        result.about["session"] = "yesterday"
    judgement = judge(budget, candidate, baseline)
    assert judgement.verdict is Verdict.REFUSED
    assert all("in pairs" not in finding.note for finding in judgement.findings)


def test_without_a_baseline_only_absolute_limits_are_judged(budget_file: Path) -> None:
    machine = Machine(2, {"candidate": Build()}, streams=800)
    ended = trial(read_budget(budget_file), machine, baseline=False)
    assert ended.judgement.verdict is Verdict.PASSED
    assert not any(finding.relative for finding in ended.judgement.findings)


def test_a_scenario_that_played_no_stream_is_refused(budget_file: Path) -> None:
    empty = Result({"profile": "smoke", "scenario": "mixed", "seconds": 1.0})
    assert judge(read_budget(budget_file), [empty]).verdict is Verdict.REFUSED


def test_reports_say_the_same_and_load_nothing(budget_file: Path) -> None:
    ended = tried(budget_file, 3, Build(slower=1.5))
    shown = page(ended.judgement, ended.candidate, ended.baseline)
    assert as_json(ended.judgement)["verdict"] == "refused"
    assert "refused" in markdown(ended.judgement)
    assert shown.count("<svg") >= 4
    assert "http" not in shown
    assert "src=" not in shown


def test_results_survive_their_file_and_add_up(tmp_path: Path) -> None:
    machine = Machine(4, {"candidate": Build(lost=0.1)})
    first, second = machine("candidate", 0), machine("candidate", 1)
    first.write(tmp_path / "first.json")
    again = Result.read(tmp_path / "first.json")
    assert again.to_json() == first.to_json()
    again.merge(second)
    tally = again.scenarios["chat"]
    assert tally.streams == 800
    assert tally.complete + sum(tally.errors.values()) == 800


def test_a_quantile_is_within_one_percent() -> None:
    histogram = Histogram()
    for value in range(1, 10_001):
        histogram.add(value)
    for share in (0.01, 0.5, 0.95, 0.999):
        assert histogram.quantile(share) == pytest.approx(10_000 * share, rel=0.011)


def test_the_knee_is_the_last_step_that_still_answers_in_time() -> None:
    result = Result()
    for index, (users, ttft) in enumerate([(10, 50), (15, 52), (22, 55), (33, 70), (50, 300), (75, 900)]):
        tally = Tally()
        for _ in range(20):
            tally.add(Stream(ttft, ttft + 100, [], 10))
        result.timeline[index] = Second(users, tally)
    best = figures.knee(figures.steps(result))
    assert best is not None
    assert best.users == 33


def test_bounds_agree_with_published_tables() -> None:
    assert statistics.t_quantile(0.99, 4) == pytest.approx(3.7469, rel=1e-4)
    assert statistics.share(5, 1000, 0.975).low == pytest.approx(0.001625, rel=1e-3)
    assert statistics.share(0, 1000, 0.99).high == pytest.approx(1 - 0.01 ** (1 / 1000), rel=1e-6)
    assert math.isinf(statistics.mean([1.0], 0.9).high)


def test_a_budget_for_processes_that_nobody_watches_is_refused_before_anything_is_played() -> None:
    want_watched(budget_named("staging"), "smoke", ["edge"])
    with pytest.raises(BudgetError, match="limits for agent_fn in the profile soak"):
        want_watched(budget_named("staging"), "soak", ["edge"])


@pytest.mark.parametrize("name", sorted(path.stem for path in BUDGETS.glob("*.yaml")))
def test_our_budgets_can_be_read(name: str) -> None:
    assert budget_named(name).environment == name


@pytest.mark.parametrize("name", ["staging", "prod"])
def test_what_our_budgets_ask_for_can_be_played(name: str) -> None:
    budget = budget_named(name)
    looks = looks_at(budget.rounds, budget.most_rounds)
    error = (1 - budget.confidence) / len(looks)
    # Half of the users ask the candidate. How long a stream takes of a model that writes 30 tokens a second, rest
    # included, and the share of the users.
    lengths = {"chat": (2.4, 0.5), "agent": (10.2, 0.2), "rag": (8.2, 0.2), "upload": (5.2, 0.1)}
    for check in budget.checks:
        if check.figure == "lost" and check.absolute is not None and check.absolute.surely_below is not None:
            length, share = lengths[check.of]
            streams = budget.most_rounds * budget.seconds / length * budget.users / 2 * share
            assert streams > math.log(error) / math.log(1 - check.absolute.surely_below), check


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("surely_below: 0.005", "surely_below: 0.0005", "surely_below wants more than at_most"),
        ("ttft_p95_ms", "ttft_p96_ms", "there is no 'ttft_p96_ms'"),
        ("rounds: 3", "rounds: 1", "rounds wants 2 at least"),
        ("confidence: 0.99", "confidence: 99", "confidence wants a share"),
    ],
)
def test_a_budget_that_cannot_be_used_is_refused_by_name(budget_file: Path, old: str, new: str, complaint: str) -> None:
    budget_file.write_text(BUDGET.replace(old, new, 1))
    with pytest.raises(BudgetError, match=complaint):
        read_budget(budget_file)
