"""One run of load: starts Locust as a process of its own, and reads what it has measured. python -m loadtest run"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from loadtest.results import GAP, TTFT, Result
from loadtest.traffic.settings import STOP_S, Settings

LOCUSTFILE = Path(__file__).parent / "traffic" / "locustfile.py"
PROFILES = ("smoke", "steady", "burst", "cold", "soak", "breakpoint")
SCENARIOS = ("chat", "agent", "rag", "upload", "mixed")
WORKERS_S = 600
"""So long a master waits for its workers: a node may have to come first."""
SLACK_S = 120.0
"""So much longer than its profile a run may take."""
LENGTHS_S = {"smoke": 60, "steady": 600, "burst": 360, "cold": 750, "soak": 4 * 3600, "breakpoint": 720}


class RunError(Exception):
    """A run that has measured nothing; the message says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `python -m loadtest run` understands."""
    default = Settings()
    parser.add_argument("--host", default=os.environ.get("DORMOUSE_URL", ""), help="the edge (DORMOUSE_URL)")
    parser.add_argument("--profile", choices=PROFILES, default=default.profile)
    parser.add_argument("--scenario", choices=SCENARIOS, default=default.scenario)
    parser.add_argument("--users", type=int, default=default.users, help="users that the profile starts from (10)")
    parser.add_argument("--seconds", type=float, default=0.0, help="length of the run (the profile's own)")
    parser.add_argument("--think", type=float, default=default.think_s, metavar="S", help="rest between streams (0.2)")
    parser.add_argument("--model", default="", help="of plain chats (the agent chat)")
    parser.add_argument("--max-tokens", type=int, default=0, help="of plain chats (no limit)")
    parser.add_argument("--timeout", type=float, default=default.timeout_s, metavar="S", help="of silence (120)")
    parser.add_argument("--same-text", action="store_true", help="every plain chat has to bring the same text")
    parser.add_argument("--release", default="", help="what is tested, for the reports")
    parser.add_argument("--session", default="", help="a name for runs that are taken in turns")
    parser.add_argument("--watch", action="append", default=[], metavar="NAME=URL", help="metrics of a process; repeat")
    parser.add_argument("--home", type=Path, help="the folder of `make up` (.dormouse): watch its processes")
    parser.add_argument("--out", type=Path, default=Path(".dormouse/load.json"), help="where the result goes")
    parser.add_argument("--processes", type=int, default=1, help="Locust processes on this machine (1)")
    parser.add_argument("--workers", type=int, default=0, help="be the master of so many workers elsewhere")
    parser.add_argument("--master", default="", metavar="HOST", help="be a worker of this master")
    parser.add_argument("--print-result", action="store_true", help="the result as the last line of the output")
    parser.add_argument("--quiet", action="store_true", help="without Locust's own output")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The settings that arguments amount to. Raises RunError."""
    watch = list(arguments.watch)
    if arguments.home is not None:
        try:
            state = json.loads((arguments.home / "state.json").read_text())
        except (OSError, ValueError) as error:
            raise RunError(f"--home wants the folder of a platform that `make up` has started: {error}") from error
        watch += [
            f"{each['name']}=http://{each['metrics_address']}/metrics"
            for each in state["processes"]
            if each["metrics_address"]
        ]
    return Settings(
        profile=arguments.profile,
        scenario=arguments.scenario,
        users=arguments.users,
        seconds=arguments.seconds,
        think_s=arguments.think,
        model=arguments.model,
        max_tokens=arguments.max_tokens,
        timeout_s=arguments.timeout,
        out=str(arguments.out.absolute()),
        watch=",".join(watch),
        same_text=arguments.same_text,
        release=arguments.release,
        session=arguments.session,
    )


def run(
    settings: Settings, host: str, *, processes: int = 1, workers: int = 0, master: str = "", quiet: bool = False
) -> Result:
    """Run Locust to its end. Raises RunError, ResultError. A worker measures nothing of its own."""
    if not host and not master:
        raise RunError("--host or DORMOUSE_URL wants the URL of the edge")
    if "DORMOUSE_API_KEY" not in os.environ:
        raise RunError("DORMOUSE_API_KEY wants an API key of the platform that is to be tested")
    command = [sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), "--host", host]
    command += ["--stop-timeout", str(STOP_S), "--reset-stats", "--loglevel", "ERROR" if quiet else "WARNING"]
    if master:
        command += ["--worker", "--master-host", master]
    else:
        command += ["--headless", *(["--only-summary"] if quiet else [])]
        Path(settings.out).unlink(missing_ok=True)
    if workers:
        command += ["--master", "--expect-workers", str(workers), "--expect-workers-max-wait", str(WORKERS_S)]
    elif processes > 1:
        command += ["--processes", str(processes)]
    root = str(Path(__file__).parent.parent)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, **settings.environ(), "PYTHONPATH": path}
    limit_s = None if master or workers else (settings.seconds or LENGTHS_S[settings.profile]) + STOP_S + SLACK_S
    said = subprocess.PIPE if quiet else None
    try:
        ended = subprocess.run(
            command, env=environment, stdout=said, stderr=said, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RunError(f"Locust did not end within {limit_s} s") from error
    if master:
        if ended.returncode:
            raise RunError(f"Locust's worker ended with {ended.returncode}")
        return Result()
    if not Path(settings.out).is_file():
        said_last = f":\n{ended.stderr[-2000:]}" if quiet else "; its output says why"
        raise RunError(f"Locust ended with {ended.returncode} and without a result{said_last}")
    result = Result.read(Path(settings.out))
    if not any(tally.streams for tally in result.scenarios.values()):
        raise RunError("not a single stream was played")
    return result


def summary(result: Result) -> str:
    """A few lines for people."""
    lines = [
        f"{'scenario':<10}{'streams':>9}{'lost':>7}{'first p50':>11}{'p95':>8}{'gap p99':>9}{'tokens':>9}{'woken':>7}"
    ]
    for name, tally in sorted(result.scenarios.items()):
        ttft, gap = tally.histograms.get(TTFT), tally.histograms.get(GAP)
        lines.append(
            f"{name:<10}{tally.streams:>9}{tally.streams - tally.complete:>7}"
            f"{ttft.quantile(0.5) if ttft else 0:>8.1f} ms{ttft.quantile(0.95) if ttft else 0:>8.1f}"
            f"{gap.quantile(0.99) if gap else 0:>9.1f}{tally.tokens:>9}{tally.wakings:>7}"
        )
        lines += [f"  {count} {kind}: {tally.examples.get(kind, '')}" for kind, count in tally.errors.most_common()]
    return "\n".join(lines)


def main(arguments: argparse.Namespace) -> int:
    """0 when something was measured, also when streams were lost: whether that is good enough the gate says."""
    settings = settings_of(arguments)
    if arguments.master:
        settings = replace(settings, out="")
    result = run(
        settings,
        arguments.host,
        processes=arguments.processes,
        workers=arguments.workers,
        master=arguments.master,
        quiet=arguments.quiet,
    )
    if not arguments.master:
        print(summary(result))
        print(f"\nJSON: {arguments.out}")
        if arguments.print_result:
            print(arguments.out.read_text(), flush=True)
    return 0
