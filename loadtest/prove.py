"""The gate's own test: releases of known quality against a platform that `make up` starts. python -m loadtest prove"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import psutil

from loadtest import run as runs
from loadtest.gate.budget import Budget
from loadtest.gate.command import budget_named, write
from loadtest.gate.judge import Finding, Verdict
from loadtest.traffic.settings import Settings
from loadtest.trial import Trial, rounds, trial

ROOT: Final = Path(__file__).parent.parent
LAUNCHER: Final = ROOT / "devstack" / "src" / "devstack" / "launcher.py"
START_S: Final = 60.0
WARM_UP_S: Final = 3.0
THINK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Build:
    """A candidate of known quality, and the profile that it is tried with."""

    faults: tuple[str, ...]
    passes: bool
    profile: str = "smoke"


BUILDS: Final = {
    "equal": Build((), passes=True),
    "slower": Build(("--slower", "1.3"), passes=False),
    "losing": Build(("--lost", "0.005"), passes=False),
    "lasting": Build((), passes=True, profile="soak"),
    "leaking": Build(("--leak", "65536"), passes=False, profile="soak"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `python -m loadtest prove` understands."""
    parser.add_argument("--builds", nargs="+", choices=list(BUILDS), default=list(BUILDS), help="all")
    parser.add_argument("--repeats", type=int, default=1, help="trials of each build (1)")
    parser.add_argument("--budget", default="dev", help="dev, staging, prod, or a file (dev)")
    parser.add_argument("--users", type=int, default=32, help="half of them ask the accepted release (32)")
    parser.add_argument("--seconds", type=float, default=9.0, help="of a round (9)")
    parser.add_argument("--in-turns", action="store_true", help="play candidate and accepted release in turns")
    parser.add_argument("--tokens", type=int, default=16, help="of an answer (16)")
    parser.add_argument("--reports", type=Path, default=Path(".dormouse/proof"), help="folder for results and reports")


def main(arguments: argparse.Namespace) -> int:
    """0 when every build got what it deserves, 1 when one did not. Raises BudgetError, RunError."""
    budget = budget_named(arguments.budget)
    rights: list[bool] = []
    print(
        f"{'build':<9}{'trial':>6}  {'verdict':<10}{'rounds':>6}{'streams':>9}{'lost':>6}{'s':>6}  decisive", flush=True
    )
    with platform(tokens=arguments.tokens) as home:
        for name in arguments.builds:
            found: list[Verdict] = []
            for number in range(1, arguments.repeats + 1):
                began = time.monotonic()
                ended = _tried(BUILDS[name], budget, home, arguments, arguments.reports / f"{name}-{number}")
                found.append(ended.judgement.verdict)
                print(_row(name, number, ended, time.monotonic() - began), flush=True)
            wanted = Verdict.PASSED if BUILDS[name].passes else Verdict.REFUSED
            print(f"{name}: {wanted.value} {found.count(wanted)} of {len(found)}", flush=True)
            rights.append(all(each is wanted for each in found))
    return 0 if all(rights) else 1


def _tried(build: Build, budget: Budget, home: Path, arguments: argparse.Namespace, reports: Path) -> Trial:
    state = json.loads((home / "state.json").read_text())
    processes = {each["name"]: each for each in state["processes"]}
    soak = build.profile == "soak"
    with candidate(processes["edge"]["pid"], build.faults, reports / "candidate.log") as (address, metrics):
        settings = Settings(
            profile=build.profile,
            scenario="chat",
            users=arguments.users,
            seconds=arguments.seconds * (3 if soak else 1),
            think_s=THINK_S,
            model="sim:latest",
            same_text=True,
            session=secrets.token_hex(8),
            watch=f"edge=http://{metrics}/metrics,agent_fn=http://{processes['agent_fn']['metrics_address']}/metrics",
            watch_s=0.5,
        )
        # A new process loads code and fills pools with its first streams; the accepted one has done that.
        warm = replace(settings, profile="smoke", seconds=WARM_UP_S, out=str(reports.absolute() / "warm-up.json"))
        runs.run(warm, f"http://{address}", quiet=True)
        accepted = "" if soak else state["url"]
        play = rounds(settings, f"http://{address}", accepted, reports, in_turns=arguments.in_turns, say=lambda _: None)
        ended = trial(budget, play, baseline=not soak)
    write(ended.judgement, ended.candidate, ended.baseline, reports)
    return ended


def _row(name: str, number: int, ended: Trial, took_s: float) -> str:
    judgement = ended.judgement
    tallies = [each.scenarios["chat"] for each in ended.candidate]
    streams, complete = sum(each.streams for each in tallies), sum(each.complete for each in tallies)
    decisive = [each for each in judgement.findings if each.verdict is judgement.verdict and each.interval]
    said = "; ".join(_said(each) for each in decisive if each.relative or each.verdict is not Verdict.PASSED)
    return (
        f"{name:<9}{number:>6}  {judgement.verdict.value:<10}{judgement.rounds:>6}{streams:>9}{streams - complete:>6}"
        f"{took_s:>6.0f}  {said}"
    )


def _said(finding: Finding) -> str:
    assert finding.interval is not None
    scale, unit = (100, " %") if finding.figure == "lost" else (1, "")
    low, high = (
        f"{scale * each:,.{0 if abs(each) >= 100 else 2}f}" for each in (finding.interval.low, finding.interval.high)
    )
    return f"{finding.figure} {low}…{high}{unit}"


@contextlib.contextmanager
def platform(*, tokens: int) -> Iterator[Path]:
    """What `make up` starts, in a folder of its own, with a simulated GPU of its own; returns the folder."""
    with tempfile.TemporaryDirectory(prefix="dormouse-prove-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o755)  # Postgres runs as an account of its own, which passes through
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DORMOUSE_", "OTEL_"))}
        model = ["devstack.model_server", "--listen", "127.0.0.1:0", "--tokens", str(tokens)]
        with _serving(model, kept, home / "model_server.log") as (address, _):
            environ = {**kept, "DORMOUSE_HOME": str(home / "platform"), "OLLAMA_HOST": f"http://{address}"}
            devstack = [sys.executable, "-P", "-m", "devstack"]
            try:
                started = subprocess.run(
                    [*devstack, "up", "--detach"], env=environ, capture_output=True, text=True, timeout=300, check=False
                )
                if started.returncode:
                    raise runs.RunError(
                        f"the platform did not start:\n{started.stderr[-2000:]}{started.stdout[-2000:]}"
                    )
                for line in (home / "platform" / "env").read_text().splitlines():
                    name, _, value = line.partition("=")
                    os.environ[name] = value.strip("'")
                yield home / "platform"
            finally:
                subprocess.run([*devstack, "down"], env=environ, capture_output=True, timeout=60, check=False)


@contextlib.contextmanager
def candidate(accepted: int, faults: Sequence[str], log: Path) -> Iterator[tuple[str, str]]:
    """An edge beside the accepted one, whose process id is given and whose settings it has: its addresses."""
    environ = {
        **psutil.Process(accepted).environ(),
        "DORMOUSE_EDGE_LISTEN": "127.0.0.1:0",
        "DORMOUSE_METRICS_LISTEN": "127.0.0.1:0",
        "PYTHONPATH": str(ROOT),
    }
    environ.pop("DORMOUSE_REPLICA_ID", None)
    with _serving(["loadtest.bad_edge", *faults] if faults else ["edge"], environ, log) as addresses:
        yield addresses


@contextlib.contextmanager
def _serving(module: Sequence[str], environ: Mapping[str, str], log: Path) -> Iterator[tuple[str, str]]:
    """Start a program that says where it serves; its address and that of its metrics."""
    log.parent.mkdir(parents=True, exist_ok=True)
    # As the accepted one was started: it dies with us, and a session of its own has its own share of busy cores.
    command = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(int(signal.SIGKILL))]
    command += [sys.executable, "-P", "-m", *module]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + START_S
        while (said := _announced(log)) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise runs.RunError(f"{module[0]} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield said["address"], said.get("metrics_address") or ""
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _announced(log: Path) -> dict[str, Any] | None:
    for line in log.read_text(errors="replace").splitlines():
        if '"serving"' in line and line.startswith("{") and line.endswith("}"):
            said: dict[str, Any] = json.loads(line)
            return said
    return None
