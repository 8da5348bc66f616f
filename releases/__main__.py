"""python -m releases: rolls a release out over Knative's traffic, gated by a load test. `make release` calls it."""

from __future__ import annotations

import argparse
import base64
import contextlib
import copy
import os
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from loadtest import run as runs
from loadtest.gate.budget import Budget, BudgetError
from loadtest.gate.command import budget_named, write
from loadtest.gate.judge import Verdict
from loadtest.gate.report import markdown
from loadtest.results import Result, ResultError
from loadtest.traffic.settings import Settings
from loadtest.trial import trial
from releases import chart, checks
from releases.kubectl import ClusterError, Kubectl
from releases.rollout import Outcome, release
from releases.targets import READY_S, TAG, EdgeByRolling, EdgeByWeights, KnativeService, Target
from releases.tunnel import tunnel

REPORTS = Path(".dormouse/release")


def main(argv: Sequence[str] | None = None) -> int:
    """0 released, 1 refused and taken back, 2 cannot be done as asked."""
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    kubectl = Kubectl(arguments.namespace)
    try:
        outcome = _release(arguments, kubectl)
    except (ClusterError, BudgetError, ResultError, runs.RunError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    for each in outcome.left:
        print(f"release: could not be taken back: {each}", file=sys.stderr)
    if not outcome.released:
        print(f"release: refused and taken back: {outcome.reason}", file=sys.stderr)
        return 1
    _say("released")
    return 0


def _release(arguments: argparse.Namespace, kubectl: Kubectl) -> Outcome:
    name, namespace = arguments.release, arguments.namespace
    budget = budget_named(arguments.budget)
    rendered = chart.render(arguments.helm, kubectl.version(), name, namespace, arguments.options)
    edge = rendered.edge["metadata"]["name"]
    key = os.environ.get("DORMOUSE_API_KEY") or _api_key(kubectl, arguments.keys or f"{name}-keys")
    os.environ["DORMOUSE_API_KEY"] = key
    if not arguments.skip_migrations:
        _migrate(kubectl, rendered)
    functions: list[Target] = [
        KnativeService(kubectl, each["metadata"]["name"], each["spec"]["template"]) for each in rendered.services
    ]
    variables = {
        "agent-fn": "DORMOUSE_AGENT_TARGET",
        "tool-fn": "DORMOUSE_TOOL_TARGET",
        "embed-fn": "DORMOUSE_EMBED_TARGET",
    }
    targets = {
        variable: f"dns:///{TAG}-{each.name}.{namespace}.svc.cluster.local:80"
        for each in functions
        for suffix, variable in variables.items()
        if each.name.endswith(suffix)
    }
    kind = EdgeByWeights if rendered.with_gateway else EdgeByRolling
    parts = [*functions, kind(kubectl, edge, rendered.edge, targets)]

    def gate() -> str:
        with tunnel(kubectl, f"{edge}-{TAG}") as candidate, tunnel(kubectl, edge) as baseline:
            try:
                return _gate(arguments, budget, candidate, baseline)
            except (runs.RunError, ResultError) as error:
                return f"the load test could not be played: {error}"

    def check(percent: int) -> str:
        time.sleep(arguments.settle)
        with tunnel(kubectl, edge) as (url, _):
            reason = checks.answers(url, key, streams=arguments.streams)
        if not reason and arguments.prometheus:
            reason = checks.asked(arguments.prometheus, {checks.SERVER_ERRORS: arguments.error_rate})
        return reason

    outcome = release(parts, gate=gate, check=check, say=_say)
    if outcome.released:
        chart.upgrade(arguments.helm, name, namespace, arguments.options)
    return outcome


def _gate(arguments: argparse.Namespace, budget: Budget, candidate: tuple[str, str], baseline: tuple[str, str]) -> str:
    """Sides by the URLs of their edge and of its metrics."""
    sides = {"candidate": candidate, "baseline": baseline}
    settings = Settings(
        profile=arguments.profile,
        scenario=arguments.scenario,
        users=arguments.users,
        seconds=arguments.seconds,
        session=secrets.token_hex(8),
    )

    def play(side: str, number: int) -> Result:
        _say(f"round {number + 1}, {side}")
        host, metrics = sides[side]
        # While one side is tested the other may fall asleep: only the profile `cold` is to see it wake.
        if arguments.profile != "cold" and (reason := checks.answers(host, os.environ["DORMOUSE_API_KEY"])):
            raise runs.RunError(f"{side}: {reason}")
        out = str((REPORTS / f"{side}-{number}.json").absolute())
        return runs.run(replace(settings, out=out, release=side, watch=f"edge={metrics}"), host, quiet=True)

    ended = trial(budget, play)
    write(ended.judgement, ended.candidate, ended.baseline, REPORTS)
    print(markdown(ended.judgement), flush=True)
    verdict = ended.judgement.verdict
    return "" if verdict is Verdict.PASSED else f"the load test: {verdict.value}, see {REPORTS}/gate.html"


def _migrate(kubectl: Kubectl, rendered: chart.Rendered) -> None:
    """The schema goes first; it serves the old release as well as the new one."""
    for job in rendered.migrations:
        made = copy.deepcopy(job)
        made["metadata"] = {
            "name": f"{job['metadata']['name'][:40]}-{secrets.token_hex(3)}",
            "labels": job["metadata"].get("labels", {}),
        }
        _say(f"migrations: {made['metadata']['name']}")
        kubectl.apply(made)
        with contextlib.closing(_Gone(kubectl, "job", made["metadata"]["name"])):
            kubectl.wait("job", made["metadata"]["name"], "condition=complete", READY_S)


class _Gone:
    def __init__(self, kubectl: Kubectl, kind: str, name: str) -> None:
        self._kubectl, self._kind, self._name = kubectl, kind, name

    def close(self) -> None:
        self._kubectl.delete(self._kind, self._name)


def _api_key(kubectl: Kubectl, secret: str) -> str:
    data = kubectl.get("secret", secret).get("data", {})
    if "api-key" not in data:
        raise ClusterError(f"DORMOUSE_API_KEY wants an API key; the Secret {secret} has none")
    return base64.b64decode(data["api-key"]).decode().strip()


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m releases", description=__doc__)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--release", default="dormouse", help="name of the Helm release (dormouse)")
    parser.add_argument("--helm", default="helm", help="the program")
    parser.add_argument(
        "--keys", default="", help="Secret with an API key (<release>-keys), unless DORMOUSE_API_KEY has one"
    )
    parser.add_argument("--budget", default="staging", help="dev, staging, prod, or a file")
    parser.add_argument("--profile", default="smoke", choices=runs.PROFILES)
    parser.add_argument("--scenario", default="mixed", choices=runs.SCENARIOS)
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=0.0, help="length of a round (the profile's own)")
    parser.add_argument("--settle", type=float, default=checks.SETTLE_S, help="seconds before each check (30)")
    parser.add_argument("--streams", type=int, default=20, help="streams of each check between steps (20)")
    parser.add_argument("--prometheus", default="", help="its URL, to ask for server errors between steps")
    parser.add_argument("--error-rate", type=float, default=0.01, help="share of requests that may fail (0.01)")
    parser.add_argument("--skip-migrations", action="store_true", help="the schema is there already")
    parser.add_argument("options", nargs="*", metavar="HELM_OPTION", help="behind --: values, as for helm upgrade")
    return parser.parse_args(argv)


def _say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
