"""Judges a candidate's rounds by a budget, and by the rounds of the last accepted release."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from loadtest.gate import figures, statistics
from loadtest.gate.budget import KNEE, LOST, OF_PROCESSES, OF_SCENARIOS, Budget, Check, Limit, time_of
from loadtest.gate.statistics import Interval
from loadtest.histogram import GROWTH
from loadtest.results import Result


class Verdict(StrEnum):
    """Of a check, and of a release: the worst of its checks'."""

    PASSED = "passed"
    UNDECIDED = "undecided"
    REFUSED = "refused"


_ORDER = [Verdict.PASSED, Verdict.UNDECIDED, Verdict.REFUSED]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome. Relative figures are ratios to the baseline; `interval` is in the figure's own unit."""

    of: str
    figure: str
    relative: bool
    verdict: Verdict
    interval: Interval | None
    limit: Limit
    note: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """All findings of a release."""

    environment: str
    profile: str
    candidate: str
    baseline: str
    rounds: int
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        return worst(finding.verdict for finding in self.findings)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of some; none at all decide nothing."""
    found = list(verdicts)
    return max(found, key=_ORDER.index) if found else Verdict.UNDECIDED


def judge(budget: Budget, candidate: Sequence[Result], baseline: Sequence[Result] = ()) -> Judgement:
    """Results of one profile, a round each. Without a baseline what is relative is left out: there is nothing yet."""
    profile = str(candidate[0].about.get("profile", ""))
    findings: list[Finding] = []
    scenario = str(candidate[0].about.get("scenario", "mixed"))
    for check in budget.for_profile(profile):
        if scenario != "mixed" and check.figure in OF_SCENARIOS and check.of != scenario:
            continue
        if check.absolute is not None:
            findings.append(_absolute(check, check.absolute, budget, candidate))
        if check.relative is not None and baseline:
            findings.append(_relative(check, check.relative, budget, candidate, baseline))
    names = [str(each[0].about.get("release", "")) if each else "" for each in (candidate, baseline)]
    return Judgement(budget.environment, profile, names[0], names[1], len(candidate), tuple(findings))


def _absolute(check: Check, limit: Limit, budget: Budget, rounds: Sequence[Result]) -> Finding:
    def found(verdict: Verdict, interval: Interval | None, note: str) -> Finding:
        return Finding(check.of, check.figure, False, verdict, interval, limit, note)

    if check.figure == LOST:
        tallies = [each.scenarios[check.of] for each in rounds if check.of in each.scenarios]
        streams, complete = sum(t.streams for t in tallies), sum(t.complete for t in tallies)
        if not streams:
            return found(Verdict.REFUSED, None, "not a single stream was played")
        interval = statistics.share(streams - complete, streams, budget.confidence)
        note = f"{streams - complete} of {streams} streams"
        verdict = _compare(interval, limit)
        if verdict is Verdict.UNDECIDED and streams == complete and limit.surely_below is not None:
            enough = math.ceil(math.log(1 - budget.confidence) / math.log(1 - limit.surely_below))
            note += f"; {enough} would decide"
        return found(verdict, interval, note)
    if check.figure == "rss_bytes_per_stream":
        pieces = max(1, math.ceil(figures.SEGMENTS / len(rounds)))
        slopes = [value for each in rounds for value in figures.growth(each, check.of, pieces)]
        if not slopes:
            return found(Verdict.UNDECIDED, None, "too few readings of memory")
        interval = statistics.mean(slopes, budget.confidence)
        return found(_compare(interval, limit), interval, f"{len(slopes)} pieces of the runs")
    values = _values(check, rounds)
    if not values:
        return found(Verdict.UNDECIDED, None, "not measured")
    # Times scatter by shares: their logarithms do as a normal distribution does.
    interval = _blurred(check, statistics.mean([math.log(value) for value in values], budget.confidence).map(_exp))
    return found(_compare(interval, limit), interval, f"{len(values)} rounds")


def _relative(
    check: Check, limit: Limit, budget: Budget, candidate: Sequence[Result], baseline: Sequence[Result]
) -> Finding:
    ours, theirs = ([math.log(value) for value in _values(check, each)] for each in (candidate, baseline))
    pairs = _in_turns(candidate, baseline) and len(ours) == len(theirs)
    note = f"{len(ours)} rounds and {len(theirs)}" + (", in pairs" if pairs else "")
    if min(len(ours), len(theirs)) < budget.rounds:
        note += f": {budget.rounds} of each decide"
        return Finding(check.of, check.figure, True, Verdict.UNDECIDED, None, limit, note)
    if pairs:
        ratios = [our - their for our, their in zip(ours, theirs, strict=True)]
        interval = statistics.mean(ratios, budget.confidence).map(_exp)
    else:
        interval = statistics.difference(ours, theirs, budget.confidence).map(_exp)
    interval = _blurred(check, interval)
    return Finding(check.of, check.figure, True, _compare(interval, limit), interval, limit, note)


def _blurred(check: Check, interval: Interval) -> Interval:
    """Nothing is known more exactly than a bucket is wide, also where every round has fallen into the same one."""
    if check.figure in OF_PROCESSES:
        return interval
    return Interval(interval.estimate, interval.low / GROWTH, interval.high * GROWTH)


def _compare(interval: Interval, limit: Limit) -> Verdict:
    if interval.low > limit.at_most:
        return Verdict.REFUSED
    if limit.surely_below is not None:
        return Verdict.PASSED if interval.high < limit.surely_below else Verdict.UNDECIDED
    return Verdict.PASSED if interval.estimate <= limit.at_most else Verdict.UNDECIDED


def _in_turns(candidate: Sequence[Result], baseline: Sequence[Result]) -> bool:
    """Whether the rounds share their time, so that what disturbed one disturbed its neighbour, too."""
    sessions = {str(each.about.get("session", "")) for each in (*candidate, *baseline)}
    return len(sessions) == 1 and sessions != {""}


def _values(check: Check, rounds: Sequence[Result]) -> list[float]:
    values = (_value(check, result) for result in rounds)
    return [value for value in values if value is not None and value > 0]


def _value(check: Check, result: Result) -> float | None:
    if check.figure == KNEE:
        step = figures.knee(figures.steps(result))
        return 1 / step.users if step is not None and step.users else 1e9
    if check.figure in OF_PROCESSES:
        readings = result.processes.get(check.of, [])
        if not readings:
            return None
        if check.figure == "rss_mib":
            return figures.rss_mib(readings)
        return figures.cpu_ms_per_stream(readings, sum(tally.streams for tally in result.scenarios.values()))
    tally = result.scenarios.get(check.of)
    return time_of(tally.histograms, check.figure) if tally is not None else None


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))
