"""python -m releases: rolls a release out over Knative's traffic, gated by a load test. `make release` calls it."""

from __future__ import annotations

import argparse
import base64
import contextlib
import getpass
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Sequence
from types import FrameType

from loadtest import run as runs
from loadtest.gate.budget import BudgetError
from loadtest.gate.command import budget_named
from loadtest.results import ResultError
from loadtest.trial import want_watched
from releases import chart, checks, gate, migrations
from releases.kubectl import ClusterError, Kubectl
from releases.record import Record
from releases.rollout import STEPS, Interrupted, Outcome, TakenOverError, release, take_back
from releases.targets import TAG, EdgeByRolling, EdgeByWeights, KnativeService, Target, recalled
from releases.tunnel import tunnel

VALUES = "behind --: as for helm upgrade; without --values those that the release has been installed with"
VARIABLES = {
    "agent-fn": "DORMOUSE_AGENT_TARGET",
    "tool-fn": "DORMOUSE_TOOL_TARGET",
    "embed-fn": "DORMOUSE_EMBED_TARGET",
}


def main(argv: Sequence[str] | None = None) -> int:
    """0 released (or, with --back, back), 1 refused and taken back, 2 cannot be done as asked."""
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    kubectl = Kubectl(arguments.namespace)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        outcome = _back(arguments, kubectl) if arguments.back else _release(arguments, kubectl)
    except (ClusterError, BudgetError, ResultError, runs.RunError, TakenOverError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    except Interrupted as error:
        print(f"release: {error}, before anything new had begun", file=sys.stderr)
        return 2
    for each in outcome.left:
        print(f"release: could not be taken back: {each}", file=sys.stderr)
    if outcome.left:
        print("release: once that is mended, --back takes the rest back", file=sys.stderr)
    if not outcome.released and outcome.reason:
        back = "taken back" if not outcome.left else "not wholly taken back"
        print(f"release: refused and {back}: {outcome.reason}", file=sys.stderr)
    return 0 if outcome.released else 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Once: what goes back is not interrupted by impatience."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _impatient)
    raise Interrupted(f"interrupted by {signal.Signals(number).name}")


def _impatient(number: int, frame: FrameType | None) -> None:
    _say("it is being taken back; kill -9 would leave it half done, for --back")


def _release(arguments: argparse.Namespace, kubectl: Kubectl) -> Outcome:
    name, namespace = arguments.release, arguments.namespace
    budget = budget_named(arguments.budget)
    want_watched(budget, arguments.profile, ["edge"])
    arguments.users = arguments.users or budget.users
    arguments.seconds = arguments.seconds or budget.seconds
    arguments.max_tokens = budget.max_tokens
    options = chart.with_values(arguments.helm, name, namespace, arguments.options)
    rendered = chart.render(arguments.helm, kubectl.version(), name, namespace, options)
    edge = rendered.edge["metadata"]["name"]
    key = os.environ.get("DORMOUSE_API_KEY") or _api_key(kubectl, arguments.keys or f"{name}-keys")
    os.environ["DORMOUSE_API_KEY"] = key
    functions: list[Target] = [
        KnativeService(kubectl, each["metadata"]["name"], each["spec"]["template"]) for each in rendered.services
    ]
    targets = {
        variable: f"dns:///{TAG}-{each.name}.{namespace}.svc.cluster.local:80"
        for each in functions
        for suffix, variable in VARIABLES.items()
        if each.name.endswith(suffix)
    }
    kind = EdgeByWeights if rendered.with_gateway else EdgeByRolling
    parts = [*functions, kind(kubectl, edge, rendered.edge, targets)]
    if arguments.dry_run:
        _plan(arguments, kubectl, rendered)
        return Outcome(True)

    record = _record(arguments, kubectl, rendered.tag)
    unfinished = record.claim()
    with record.beating():
        if unfinished and (left := _back_to(unfinished, kubectl)):
            return Outcome(False, "what a release that was broken off has left here is in the way", left)
        record.write([])
        try:
            if not arguments.skip_migrations:
                migrations.run(kubectl, rendered.migrations, _say)
            record.write([part.remember() for part in parts])
        except BaseException:
            record.close()
            raise

        def look() -> str:
            reason = gate.look(kubectl, edge, budget, arguments, _say)
            record.held()
            return reason

        def check(percent: int) -> str:
            time.sleep(arguments.settle)
            record.held()
            return _checked(arguments, kubectl, edge, key)

        outcome = release(parts, gate=look, check=check, say=_say)
        if not outcome.left:
            record.close()
    if outcome.released:
        _say("released; telling Helm")
        try:
            chart.upgrade(arguments.helm, name, namespace, options)
        except (ClusterError, Interrupted) as error:
            raise ClusterError(
                f"{rendered.tag} has all the traffic, but Helm does not know of it, and its next upgrade would start"
                f" from the old release: run `helm upgrade` with the same values. {error}"
            ) from error
        _say("done")
    return outcome


def _checked(arguments: argparse.Namespace, kubectl: Kubectl, edge: str, key: str) -> str:
    """Why the platform is not as it should be between two steps, or nothing: the old edge, the new one, figures."""
    candidate = f"{edge}-{TAG}"
    for name in (edge, *([candidate] if kubectl.exists("deployment", candidate) else [])):
        with tunnel(kubectl, name) as (url, _):
            if reason := checks.answers(url, key, streams=arguments.streams):
                return f"{name}: {reason}"
    if arguments.front and (reason := checks.answers(arguments.front, key, streams=arguments.streams)):
        return f"{arguments.front}: {reason}"
    if arguments.prometheus:
        return checks.asked(arguments.prometheus, {checks.SERVER_ERRORS: arguments.error_rate})
    return ""


def _back(arguments: argparse.Namespace, kubectl: Kubectl) -> Outcome:
    """Only what a release that was broken off has left."""
    record = _record(arguments, kubectl, "--back")
    unfinished = record.claim()
    with record.beating():
        left = _back_to(unfinished, kubectl) if unfinished else []
        if not left:
            record.close()
    _say("everything is as it was" if unfinished else "there is nothing to take back")
    return Outcome(not left, "", left)


def _back_to(unfinished: Sequence[dict[str, object]], kubectl: Kubectl) -> list[str]:
    _say("a release was broken off here: taking it back")
    return take_back([recalled(kubectl, part) for part in unfinished], _say)


def _record(arguments: argparse.Namespace, kubectl: Kubectl, what: str) -> Record:
    owner = f"{getpass.getuser()}@{socket.gethostname()} {secrets.token_hex(4)}"
    said = f"{what} since {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())}"
    return Record(kubectl, f"{arguments.release}-release", owner=owner, what=said)


def _plan(arguments: argparse.Namespace, kubectl: Kubectl, rendered: chart.Rendered) -> None:
    """What a release would do."""
    jobs = [] if arguments.skip_migrations else rendered.migrations
    for job in jobs:
        print(f"{job['metadata']['name']}: {chart.image(job['spec']['template'])}, before all else")
    ways = [("ksvc", each, "a tag, then shares of its traffic") for each in rendered.services]
    by_weights, by_rolling = "beside the old, by the weights of its HTTPRoute", "one replica at a time, in the end"
    for kind, each, way in [*ways, ("deployment", rendered.edge, by_weights if rendered.with_gateway else by_rolling)]:
        name = each["metadata"]["name"]
        now = chart.image(kubectl.get(kind, name)["spec"]["template"])
        print(f"{name}: {now} -> {chart.image(each['spec']['template'])}, {way}")
    budget = budget_named(arguments.budget)
    seconds = arguments.seconds or runs.LENGTHS_S[arguments.profile]
    rounds = f"{budget.rounds} to {budget.most_rounds} rounds of {seconds:.0f} s for each side"
    load = f"profile {arguments.profile}, scenario {arguments.scenario}, {arguments.users} users"
    print(f"gate: budget {arguments.budget}, {load}, {rounds}")
    steps = " -> ".join(str(step) for step in STEPS)
    print(f"traffic: {steps} %, after each {arguments.settle:.0f} s and {arguments.streams} streams of each edge")


def _api_key(kubectl: Kubectl, secret: str) -> str:
    data = kubectl.get("secret", secret).get("data", {})
    if "api-key" not in data:
        raise ClusterError(f"DORMOUSE_API_KEY wants an API key; the Secret {secret} has none")
    return base64.b64decode(data["api-key"]).decode().strip()


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m releases", description=__doc__)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--release", default="dormouse", help="name of the Helm release (dormouse)")
    parser.add_argument(
        "--back", action="store_true", help="only take back what a release that was broken off has left"
    )
    parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
    parser.add_argument("--helm", default="helm", help="the program")
    parser.add_argument(
        "--keys", default="", help="Secret with an API key (<release>-keys), unless DORMOUSE_API_KEY has one"
    )
    parser.add_argument("--budget", default="staging", help="dev, staging, prod, or a file")
    parser.add_argument("--profile", default="smoke", choices=runs.PROFILES)
    parser.add_argument("--scenario", default="mixed", choices=runs.SCENARIOS)
    parser.add_argument("--users", type=int, default=0, help="(the budget's)")
    parser.add_argument(
        "--seconds", type=float, default=0.0, help="length of a round (the budget's, the profile's own)"
    )
    parser.add_argument("--in-turns", action="store_true", help="play the new edge and the old one after each other")
    parser.add_argument("--settle", type=float, default=checks.SETTLE_S, help="seconds before each check (30)")
    parser.add_argument("--streams", type=int, default=20, help="streams of each check between steps (20)")
    parser.add_argument("--front", default="", metavar="URL", help="what users ask: the checks ask there, too")
    parser.add_argument("--prometheus", default="", metavar="URL", help="to ask for server errors between steps")
    parser.add_argument("--error-rate", type=float, default=0.01, help="share of requests that may fail (0.01)")
    parser.add_argument("--skip-migrations", action="store_true", help="the schema is there already")
    parser.add_argument("options", nargs="*", metavar="HELM_OPTION", help=VALUES)
    return parser.parse_args(argv)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone, which is no reason to stop halfway
        print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
