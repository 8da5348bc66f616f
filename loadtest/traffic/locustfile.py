"""What Locust loads: the users of one scenario, the shape of one profile, and what gathers their figures."""

from __future__ import annotations

import logging
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtest.results import Reading, Result, Second, Stream
from loadtest.traffic import shapes, users
from loadtest.traffic.settings import BASELINE, CANDIDATE, Side

_log = logging.getLogger(__name__)
SETTINGS = users.SETTINGS
MEASURED = {side.name: Result() for side in SETTINGS.sides}
"""By side, of this process; on a master of all workers."""

_USERS: dict[tuple[str, int], dict[str, int]] = {}
"""On a master: by side and second, then by worker."""

_SERIES = {"process_resident_memory_bytes": 0, "process_cpu_seconds_total": 1}
_SENT = "dormouse_result"

# Locust takes the classes that it finds here.
globals().update({each.__name__: each for each in users.BY_SCENARIO[SETTINGS.scenario]})


_Profile: Any = shapes.PROFILES[SETTINGS.profile]


class Shape(_Profile):
    """The chosen profile."""

    def __init__(self) -> None:
        super().__init__(SETTINGS, lambda: MEASURED[CANDIDATE])


del _Profile  # Locust would take it for a second shape


@events.init.add_listener
def _begin(environment: Environment, **_: Any) -> None:
    users.StreamingUser.report = staticmethod(lambda *stream: _report(environment, *stream))
    runner = environment.runner
    if not isinstance(runner, WorkerRunner):
        began, moment = time.monotonic(), time.time()
        for side in SETTINGS.sides:
            MEASURED[side.name].about = {
                "profile": SETTINGS.profile,
                "scenario": SETTINGS.scenario,
                "host": (environment.host or "") if side.name == CANDIDATE else SETTINGS.baseline,
                "users": SETTINGS.users,
                "started": moment,
                "release": SETTINGS.release if side.name == CANDIDATE else "accepted",
                "session": SETTINGS.session,
            }
            gevent.spawn(_watch, side, began)
        events.worker_report.add_listener(lambda client_id, data: _receive(client_id, data))


def _receive(client: str, data: dict[str, Any]) -> None:
    """Add what a worker has measured. It knows of its own users only, and may speak of a second twice."""
    for side, told in data.get(_SENT, {}).items():
        sent = Result.from_json(told)
        for at, second in sent.timeline.items():
            of_second = _USERS.setdefault((side, at), {})
            of_second[client] = max(second.users, of_second.get(client, 0))
            second.users = sum(of_second.values())
        MEASURED[side].merge(sent)


def _report(environment: Environment, side: str, scenario: str, stream: Stream) -> None:
    """Count a stream here, and as Locust's own statistics, so that its tables and its web page show it."""
    second = MEASURED[side].timeline.setdefault(int(time.time()), Second())
    second.users = max(second.users, environment.runner.user_count if environment.runner else 0)
    MEASURED[side].add(scenario, stream)
    if side == BASELINE:
        return  # Locust's tables are the candidate's

    def fire(kind: str, value: float, error: Exception | None = None) -> None:
        environment.events.request.fire(
            request_type=kind,
            name=scenario,
            response_time=value,
            response_length=stream.tokens,
            exception=error,
            context={},
        )

    # Only the kind: Locust counts failures by their whole text.
    failure = RuntimeError(stream.error) if stream.error else None
    fire("stream", stream.whole_ms, failure)
    if failure is not None:
        return
    if stream.ttft_ms is not None:
        fire("first token", stream.ttft_ms)
    if stream.gaps_ms:
        gaps = sorted(stream.gaps_ms)
        fire("gap p99", gaps[min(len(gaps) - 1, int(len(gaps) * 0.99))])
    writing_s = (stream.whole_ms - (stream.ttft_ms or 0.0)) / 1000
    if stream.tokens > 1 and stream.gaps_ms:
        fire("tokens/s", (stream.tokens - 1) / writing_s)
    if stream.wakings:
        fire("woken", stream.ttft_ms or stream.whole_ms)


def _watch(side: Side, began: float) -> None:
    """Read memory and CPU of the watched processes, again and again."""
    failing: set[str] = set()
    while True:
        for name, url in side.watched.items():
            try:
                with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310  # the operator's own addresses
                    text = response.read().decode()
            except (OSError, ValueError) as error:
                if name not in failing:
                    _log.warning("The metrics of %s cannot be read: %s", name, error)
                failing.add(name)
                continue
            values = [0.0, 0.0]
            for line in text.splitlines():
                series, _, value = line.partition(" ")
                if series in _SERIES:
                    values[_SERIES[series]] = float(value)
            if values[0]:
                MEASURED[side.name].processes.setdefault(name, []).append(Reading(time.monotonic() - began, *values))
        gevent.sleep(SETTINGS.watch_s)


@events.report_to_master.add_listener
def _send(client_id: str, data: dict[str, Any]) -> None:
    """Hand over what this worker has measured since the last time."""
    data[_SENT] = {side: measured.to_json() for side, measured in MEASURED.items()}
    for measured in MEASURED.values():
        measured.scenarios, measured.timeline = {}, {}


@events.quitting.add_listener
def _end(environment: Environment, **_: Any) -> None:
    runner = environment.runner
    if isinstance(runner, WorkerRunner) or not SETTINGS.out:
        return
    for side in SETTINGS.sides:
        measured = MEASURED[side.name]
        measured.about["seconds"] = time.time() - measured.about["started"]
        measured.about["distributed"] = isinstance(runner, MasterRunner)
        measured.write(Path(side.out))
    # The gate judges what was lost; this process says whether anything was measured at all.
    environment.process_exit_code = 0 if any(tally.streams for tally in MEASURED[CANDIDATE].scenarios.values()) else 1


if "DORMOUSE_API_KEY" not in os.environ:
    raise SystemExit("DORMOUSE_API_KEY wants an API key of the platform that is to be tested")
