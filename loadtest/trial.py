"""Candidate and accepted release side by side, until the gate can decide. python -m loadtest trial"""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from loadtest import run as runs
from loadtest.gate.budget import OF_PROCESSES, Budget, BudgetError
from loadtest.gate.command import EXIT, budget_named, write
from loadtest.gate.judge import Judgement, Verdict, judge
from loadtest.gate.report import markdown
from loadtest.results import Result
from loadtest.traffic.settings import BASELINE, CANDIDATE, Settings

Play = Callable[[str, int], Result]
"""Plays one round of a side ("candidate", "baseline")."""


class AtOnce:
    """A Play whose sides are played together: each round once, whichever side is asked for first."""

    def __init__(self, play: Callable[[int], Mapping[str, Result]]) -> None:
        self._play = play
        self._played: dict[int, Mapping[str, Result]] = {}

    def __call__(self, side: str, number: int) -> Result:
        if number not in self._played:
            self._played[number] = self._play(number)
        return self._played[number][side]


@dataclass(frozen=True, slots=True)
class Trial:
    """How it ended, and what it was judged by."""

    judgement: Judgement
    candidate: list[Result]
    baseline: list[Result]


def trial(budget: Budget, play: Play, *, baseline: bool = True) -> Trial:
    """Play rounds until they decide, `most_rounds` at most.

    The sides take turns in going first, so that what a first run warms up favours none. Every look at the figures could
    err, so each has its share of what the budget's confidence leaves for errors.
    """
    looks = looks_at(budget.rounds, budget.most_rounds)
    strict = replace(budget, confidence=1 - (1 - budget.confidence) / len(looks))
    sides: dict[str, list[Result]] = {"candidate": [], **({"baseline": []} if baseline else {})}
    while True:
        number = len(sides["candidate"])
        for side in list(sides) if number % 2 == 0 else reversed(list(sides)):
            sides[side].append(play(side, number))
        if number + 1 not in looks:
            continue
        judgement = judge(strict, sides["candidate"], sides.get("baseline", []))
        if judgement.verdict is not Verdict.UNDECIDED or number + 1 >= budget.most_rounds:
            return Trial(judgement, sides["candidate"], sides.get("baseline", []))


def want_watched(budget: Budget, profile: str, watched: Collection[str]) -> None:
    """Raises BudgetError when the budget asks for processes that nobody will look at: it could never be met."""
    asked = {check.of for check in budget.for_profile(profile) if check.figure in OF_PROCESSES}
    if missing := sorted(asked - set(watched)):
        raise BudgetError(
            f"the budget {budget.environment} has limits for {' and '.join(missing)} in the profile {profile}, whose"
            f" metrics have to be watched: --watch {missing[0]}=http://…/metrics (or --home, on one machine)"
        )


def looks_at(first: int, last: int) -> list[int]:
    """After which rounds the figures are looked at: seldom once there are many, for every look costs confidence."""
    looks = [first]
    while looks[-1] < last:
        looks.append(min(last, max(looks[-1] + 1, looks[-1] * 3 // 2)))
    return looks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `python -m loadtest trial` understands: the run's arguments, and these."""
    runs.add_arguments(parser)
    parser.add_argument("--budget", required=True, help="dev, staging, prod, or a file")
    parser.add_argument("--baseline-host", default="", help="the accepted release; --host is the candidate")
    parser.add_argument("--in-turns", action="store_true", help="one after the other, where they share what is scarce")
    parser.add_argument(
        "--baseline-watch", action="append", default=[], metavar="NAME=URL", help="as --watch, of the accepted release"
    )
    parser.add_argument("--reports", type=Path, default=Path(".dormouse/gate"), help="folder for results and reports")


def main(arguments: argparse.Namespace) -> int:
    """0 passed, 1 refused, 3 not decided within the budget's rounds."""
    budget = budget_named(arguments.budget)
    want_watched(budget, arguments.profile, runs.settings_of(arguments).watched)
    settings = replace(
        runs.settings_of(arguments), session=secrets.token_hex(8), baseline_watch=",".join(arguments.baseline_watch)
    )
    played = rounds(
        settings,
        arguments.host,
        arguments.baseline_host,
        arguments.reports,
        in_turns=arguments.in_turns,
        processes=arguments.processes,
    )
    ended = trial(budget, played, baseline=bool(arguments.baseline_host))
    write(ended.judgement, ended.candidate, ended.baseline, arguments.reports)
    print(markdown(ended.judgement))
    print(f"{arguments.reports}/gate.html")
    return EXIT[ended.judgement.verdict]


def rounds(
    settings: Settings,
    candidate: str,
    baseline: str,
    reports: Path,
    *,
    in_turns: bool = False,
    processes: int = 1,
    say: Callable[[str], None] = print,
) -> Play:
    """Rounds of Locust against two platforms, at once or in turns; results go to `reports`. Raises RunError."""

    for side in (CANDIDATE, BASELINE):
        for old in reports.glob(f"{side}-*.json"):
            old.unlink()

    def out(side: str, number: int) -> str:
        return str((reports / f"{side}-{number}.json").absolute())

    def at_once(number: int) -> dict[str, Result]:
        say(f"round {number + 1}")
        told = replace(settings, baseline=baseline, out=out(CANDIDATE, number), baseline_out=out(BASELINE, number))
        result = _unlimited(runs.run(told, candidate, processes=processes, quiet=True))
        return {CANDIDATE: result, **({BASELINE: _unlimited(Result.read(Path(told.baseline_out)))} if baseline else {})}

    def one(side: str, number: int) -> Result:
        say(f"round {number + 1}, {side}")
        ours = side == CANDIDATE
        told = replace(
            settings,
            out=out(side, number),
            watch=settings.watch if ours else settings.baseline_watch,
            release=settings.release if ours else "accepted",
        )
        return _unlimited(runs.run(told, candidate if ours else baseline, processes=processes, quiet=True))

    return one if in_turns else AtOnce(at_once)


def _unlimited(result: Result) -> Result:
    """The result. Raises RunError where limits have refused streams: that says nothing of a release."""
    for tally in result.scenarios.values():
        if refused := tally.errors["http_429"]:
            raise runs.RunError(
                f"the platform's own limits have refused {refused} of {tally.streams} streams; fewer users, or higher"
                f" limits for this key and address: {tally.examples.get('http_429', '')}"
            )
    return result
