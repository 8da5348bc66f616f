"""What Locust loads: the users of one scenario, the shape of one profile, and what gathers their figures."""

from __future__ import annotations

import logging
import os
import time
import urllib.error
import urllib.request
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtest.results import Reading, Result, Second, Stream
from loadtest.traffic import shapes, users

_log = logging.getLogger(__name__)
SETTINGS = users.SETTINGS
MEASURED = Result()
"""Of this process; on a master of all workers."""

_USERS: dict[int, dict[str, int]] = {}
"""On a master: by second and worker."""

_SERIES = {"process_resident_memory_bytes": 0, "process_cpu_seconds_total": 1}
_SENT = "dormouse_result"

# Locust takes the classes that it finds here.
globals().update({each.__name__: each for each in users.BY_SCENARIO[SETTINGS.scenario]})


_Profile: Any = shapes.PROFILES[SETTINGS.profile]


class Shape(_Profile):
    """The chosen profile."""

    def __init__(self) -> None:
        super().__init__(SETTINGS, lambda: MEASURED)


del _Profile  # Locust would take it for a second shape


@events.init.add_listener
def _begin(environment: Environment, **_: Any) -> None:
    users.StreamingUser.report = staticmethod(lambda scenario, stream: _report(environment, scenario, stream))
    runner = environment.runner
    if not isinstance(runner, WorkerRunner):
        MEASURED.about = {
            "profile": SETTINGS.profile,
            "scenario": SETTINGS.scenario,
            "host": environment.host or "",
            "users": SETTINGS.users,
            "started": time.time(),
            "release": SETTINGS.release,
            "session": SETTINGS.session,
        }
        gevent.spawn(_watch, environment, time.monotonic())
        events.worker_report.add_listener(lambda client_id, data: _receive(client_id, data))


def _receive(client: str, data: dict[str, Any]) -> None:
    """Add what a worker has measured. It knows of its own users only, and may speak of a second twice."""
    if _SENT not in data:
        return
    sent = Result.from_json(data[_SENT])
    for at, second in sent.timeline.items():
        of_second = _USERS.setdefault(at, {})
        of_second[client] = max(second.users, of_second.get(client, 0))
        second.users = sum(of_second.values())
    MEASURED.merge(sent)


def _report(environment: Environment, scenario: str, stream: Stream) -> None:
    """Count a stream here, and as Locust's own statistics, so that its tables and its web page show it."""
    second = MEASURED.timeline.setdefault(int(time.time()), Second())
    second.users = max(second.users, environment.runner.user_count if environment.runner else 0)
    MEASURED.add(scenario, stream)

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


def _watch(environment: Environment, began: float) -> None:
    """Read memory and CPU of the watched processes, again and again."""
    failing: set[str] = set()
    while True:
        for name, url in SETTINGS.watched.items():
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
                MEASURED.processes.setdefault(name, []).append(Reading(time.monotonic() - began, *values))
        gevent.sleep(SETTINGS.watch_s)


@events.report_to_master.add_listener
def _send(client_id: str, data: dict[str, Any]) -> None:
    """Hand over what this worker has measured since the last time."""
    data[_SENT] = MEASURED.to_json()
    MEASURED.scenarios, MEASURED.timeline = {}, {}


@events.quitting.add_listener
def _end(environment: Environment, **_: Any) -> None:
    runner = environment.runner
    if isinstance(runner, WorkerRunner) or not SETTINGS.out:
        return
    MEASURED.about["seconds"] = time.time() - MEASURED.about["started"]
    MEASURED.about["distributed"] = isinstance(runner, MasterRunner)
    MEASURED.write(SETTINGS.out_path)
    # The gate judges what was lost; this process says whether anything was measured at all.
    environment.process_exit_code = 0 if any(tally.streams for tally in MEASURED.scenarios.values()) else 1


if "DORMOUSE_API_KEY" not in os.environ:
    raise SystemExit("DORMOUSE_API_KEY wants an API key of the platform that is to be tested")
