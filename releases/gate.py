"""The gate of a release: new edge against old one, in turns, each at the end of a tunnel."""

from __future__ import annotations

import argparse
import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from loadtest import run as runs
from loadtest.gate.budget import Budget
from loadtest.gate.command import write
from loadtest.gate.judge import Verdict
from loadtest.gate.report import markdown
from loadtest.results import Result, ResultError
from loadtest.traffic.settings import Settings
from loadtest.trial import trial
from releases import checks
from releases.kubectl import Kubectl
from releases.targets import TAG
from releases.tunnel import tunnel

REPORTS: Final = Path(".dormouse/release")


def look(kubectl: Kubectl, edge: str, budget: Budget, load: argparse.Namespace, say: Callable[[str], None]) -> str:
    """Play the trial; why the candidate may not be released, or nothing.

    `load` has profile, scenario, users, seconds, max_tokens. Results and reports go to REPORTS. Raises ClusterError.
    """
    with tunnel(kubectl, f"{edge}-{TAG}") as candidate, tunnel(kubectl, edge) as baseline:
        try:
            return _played(budget, load, candidate, baseline, say)
        except (runs.RunError, ResultError) as error:
            return f"the load test could not be played: {error}"


def _played(
    budget: Budget,
    load: argparse.Namespace,
    candidate: tuple[str, str],
    baseline: tuple[str, str],
    say: Callable[[str], None],
) -> str:
    """Sides by the URLs of their edge and of its metrics."""
    sides = {"candidate": candidate, "baseline": baseline}
    settings = Settings(
        profile=load.profile,
        scenario=load.scenario,
        users=load.users,
        seconds=load.seconds,
        max_tokens=load.max_tokens,
        session=secrets.token_hex(8),
    )

    def play(side: str, number: int) -> Result:
        say(f"round {number + 1}, {side}")
        host, metrics = sides[side]
        # While one side is tested the other may fall asleep: only the profile `cold` is to see it wake.
        if load.profile != "cold" and (reason := checks.answers(host, os.environ["DORMOUSE_API_KEY"])):
            raise runs.RunError(f"{side}: {reason}")
        out = str((REPORTS / f"{side}-{number}.json").absolute())
        return runs.run(replace(settings, out=out, release=side, watch=f"edge={metrics}"), host, quiet=True)

    for old in REPORTS.glob("*.json"):
        old.unlink()
    ended = trial(budget, play)
    write(ended.judgement, ended.candidate, ended.baseline, REPORTS)
    print(markdown(ended.judgement), flush=True)
    verdict = ended.judgement.verdict
    return "" if verdict is Verdict.PASSED else f"the load test: {verdict.value}, see {REPORTS}/gate.html"
