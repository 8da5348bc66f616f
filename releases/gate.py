"""The gate of a release: new edge beside old one, each at the end of a tunnel."""

from __future__ import annotations

import argparse
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from loadtest import run as runs
from loadtest.gate.budget import Budget
from loadtest.gate.command import write
from loadtest.gate.judge import Verdict
from loadtest.gate.report import markdown
from loadtest.results import Result, ResultError
from loadtest.traffic.settings import CANDIDATE, Settings
from loadtest.trial import rounds, trial
from releases import checks
from releases.kubectl import Kubectl
from releases.targets import TAG
from releases.tunnel import tunnel

REPORTS: Final = Path(".dormouse/release")


def look(kubectl: Kubectl, edge: str, budget: Budget, load: argparse.Namespace, say: Callable[[str], None]) -> str:
    """Play the trial; why the candidate may not be released, or nothing.

    `load` has profile, scenario, users, seconds, max_tokens, in_turns. Results go to REPORTS. Raises ClusterError.
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
    settings = Settings(
        profile=load.profile,
        scenario=load.scenario,
        users=load.users,
        seconds=load.seconds,
        max_tokens=load.max_tokens,
        release=CANDIDATE,
        session=secrets.token_hex(8),
        watch=f"edge={candidate[1]}",
        baseline_watch=f"edge={baseline[1]}",
    )
    whole = rounds(settings, candidate[0], baseline[0], REPORTS, in_turns=load.in_turns, say=say)

    def play(side: str, number: int) -> Result:
        # While one is looked at the other may fall asleep: only the profile `cold` is to see it wake.
        for name, (host, _) in (("candidate", candidate), ("baseline", baseline)):
            if load.profile != "cold" and (reason := checks.answers(host, os.environ["DORMOUSE_API_KEY"])):
                raise runs.RunError(f"{name}: {reason}")
        return whole(side, number)

    ended = trial(budget, play)
    write(ended.judgement, ended.candidate, ended.baseline, REPORTS)
    print(markdown(ended.judgement), flush=True)
    verdict = ended.judgement.verdict
    return "" if verdict is Verdict.PASSED else f"the load test: {verdict.value}, see {REPORTS}/gate.html"
