"""What a person sees while the platform starts and runs."""

import io
import json

import pytest
from devstack.terminal import Pipe, Terminal, readable


@pytest.mark.parametrize(
    ("name", "line", "shown"),
    [
        (
            "edge",
            json.dumps({"ts": "2026-11-20T09:39:49.123+00:00", "level": "info", "logger": "x", "event": "request",
                        "service": "edge", "status": 200}),
            "09:39:49 request status=200",
        ),
        (
            "edge",
            json.dumps({"ts": "2026-11-20T09:39:49.1+00:00", "level": "error", "event": "failed", "exception": "Why"}),
            "09:39:49 ERROR failed\nWhy",
        ),
        ("agent_fn", "Fatal Python error", "Fatal Python error"),
        ("agent_fn", "{not json", "{not json"),
        ("agent_fn", "[1]", "[1]"),
        ("postgres", "2026-11-20 09:00:00 UTC [7] LOG:  checkpoint starting: time", ""),
        ("postgres", "2026-11-20 09:00 [7] FATAL:  out of memory", "2026-11-20 09:00 [7] FATAL:  out of memory"),
        ("valkey", "7:M 20 Nov 2026 09:00:00.000 * Ready to accept connections unix", ""),
        ("valkey", "7:M 20 Nov 2026 09:00:00.000 # Warning", "7:M 20 Nov 2026 09:00:00.000 # Warning"),
    ],
)  # fmt: skip
def test_log_lines_are_readable_and_noise_is_left_out(name: str, line: str, shown: str) -> None:
    assert readable(name, line) == shown


def test_a_bar_that_cannot_move_says_every_tenth() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    for done in range(0, 1001, 5):
        terminal.bar("model", done, 1000)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0].endswith("model: 0%")
    assert lines[-1].endswith("model: 100%")


def test_logs_are_shown_only_when_it_runs() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    terminal.log("edge", "early")
    terminal.shows_logs = True
    terminal.log("edge", "late")
    assert stream.getvalue() == "edge        | late\n"


def test_a_daemon_survives_the_end_of_the_command_that_started_it() -> None:
    stream = io.StringIO()
    pipe = Pipe(stream)
    pipe.step("one")
    assert json.loads(stream.getvalue()) == {"step": "one"}
    stream.close()
    pipe.step("two")
    pipe.close()
