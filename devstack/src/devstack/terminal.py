"""What `up` tells: steps with seconds, a progress bar, and then the logs of all processes."""

import json
import sys
import time
from collections.abc import Mapping
from typing import IO, Any, Protocol

BAR = 30


class Report(Protocol):
    """Whoever listens while the platform starts and runs."""

    def step(self, text: str) -> None:
        """Something began or was done."""

    def bar(self, text: str, done: int, total: int) -> None:
        """How far a download is; total 0: not known."""

    def log(self, name: str, line: str) -> None:
        """A process printed a line."""


class Terminal:
    """Writes to a person's terminal, or to a file. Colours and moving bars only where it is a terminal.

    Steps carry the seconds since the start, or with `clock` the time of day.
    """

    def __init__(self, stream: IO[str] | None = None, *, clock: bool = False) -> None:
        self._stream = stream or sys.stdout
        self._clock = clock
        self._started = time.monotonic()
        self._moving = self._stream.isatty()
        self._bar_open = False
        self._last_bar = -1
        self.shows_logs = False

    def step(self, text: str) -> None:
        self._close_bar()
        seconds = f"{time.monotonic() - self._started:5.1f}s"
        self._write(f"[{time.strftime('%Y-%m-%d %H:%M:%S') if self._clock else seconds}] {text}\n")

    def say(self, text: str = "") -> None:
        """Text as it is."""
        self._close_bar()
        self._write(text + "\n")

    def bar(self, text: str, done: int, total: int) -> None:
        percent = done * 100 // total if total else 0
        if self._moving:
            filled = BAR * percent // 100
            amount = f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB" if total else ""
            self._write(f"\r\033[K         {text} [{'#' * filled}{'.' * (BAR - filled)}] {percent:3d}% {amount}")
            self._bar_open = True
        elif percent // 10 != self._last_bar:
            self._last_bar = percent // 10
            self.step(f"{text}: {percent}%")

    def log(self, name: str, line: str) -> None:
        if self.shows_logs and (text := readable(name, line)):
            self._close_bar()
            self._write(f"{self._prefix(name)} {text}\n")

    def _prefix(self, name: str) -> str:
        label = f"{name:<12}|"
        return f"\033[2m{label}\033[0m" if self._moving else label

    def _close_bar(self) -> None:
        if self._bar_open:
            self._write("\n")
            self._bar_open = False

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # the terminal has gone; the platform goes on, or ends by SIGHUP
            self._stream = open("/dev/null", "w")  # noqa: SIM115, PTH123


class Pipe:
    """Sends what a daemon reports, one JSON object a line, to the command that started it."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream: IO[str] | None = stream

    def step(self, text: str) -> None:
        self.send({"step": text})

    def bar(self, text: str, done: int, total: int) -> None:
        self.send({"bar": text, "done": done, "total": total})

    def log(self, name: str, line: str) -> None:
        """The log files hold it."""

    def send(self, message: Mapping[str, Any]) -> None:
        if self._stream is not None:
            try:
                self._stream.write(json.dumps(message) + "\n")
                self._stream.flush()
            except (BrokenPipeError, ValueError):
                self._stream = None

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def readable(name: str, line: str) -> str:
    """A log line for people; empty where it would only be noise."""
    if name == "postgres":
        return "" if " LOG:  " in line else line
    if name == "valkey":
        return line if " # " in line else ""
    if not line.startswith("{"):
        return line
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    if not isinstance(entry, dict) or "event" not in entry:
        return line
    return _sentence(entry)


def _sentence(entry: dict[str, Any]) -> str:
    moment = str(entry.pop("ts", ""))[11:19]
    level = str(entry.pop("level", "info"))
    event = entry.pop("event")
    exception = entry.pop("exception", "")
    for name in ("logger", "service", "trace_id", "span_id"):
        entry.pop(name, None)
    facts = " ".join(f"{key}={value}" for key, value in entry.items() if value not in ("", None))
    text = " ".join(part for part in (moment, "" if level == "info" else level.upper(), str(event), facts) if part)
    return f"{text}\n{exception}" if exception else text
