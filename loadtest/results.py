"""What one run of load has measured: added up stream by stream, shipped from worker to master, kept as JSON."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import orjson

from loadtest.histogram import Histogram

VERSION = 1
TTFT, GAP, WHOLE, SPEED, WOKEN = "ttft_ms", "gap_ms", "whole_ms", "tokens_per_s", "woken_ttft_ms"


class ResultError(ValueError):
    """A file of results that cannot be read; the message names it."""


@dataclass(slots=True)
class Stream:
    """One exchange: times in ms. `error` is its kind, empty where the answer was whole and right."""

    ttft_ms: float | None = None
    whole_ms: float = 0.0
    gaps_ms: list[float] = field(default_factory=list)
    tokens: int = 0
    wakings: int = 0
    """How often it was told that something is waking."""
    error: str = ""
    detail: str = ""


@dataclass(slots=True)
class Tally:
    """The streams of one scenario."""

    streams: int = 0
    complete: int = 0
    tokens: int = 0
    wakings: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """By kind."""
    examples: dict[str, str] = field(default_factory=dict)
    """What the first of each kind has said."""
    histograms: dict[str, Histogram] = field(default_factory=dict)

    def add(self, stream: Stream) -> None:
        """Count a stream; times of those that failed are left out, for they would make failing look fast."""
        self.streams += 1
        self.wakings += stream.wakings
        if stream.error:
            self.errors[stream.error] += 1
            self.examples.setdefault(stream.error, stream.detail)
            return
        self.complete += 1
        self.tokens += stream.tokens
        self._add(WHOLE, stream.whole_ms)
        if stream.ttft_ms is not None:
            self._add(TTFT, stream.ttft_ms)
            if stream.wakings:
                self._add(WOKEN, stream.ttft_ms)
        for gap in stream.gaps_ms:
            self._add(GAP, gap)
        writing_ms = stream.whole_ms - (stream.ttft_ms or 0.0)
        if stream.tokens > 1 and stream.gaps_ms:
            self._add(SPEED, (stream.tokens - 1) / writing_ms * 1000)

    def _add(self, name: str, value: float) -> None:
        self.histograms.setdefault(name, Histogram()).add(value)

    def merge(self, other: Tally) -> None:
        """Add what the other has counted."""
        self.streams += other.streams
        self.complete += other.complete
        self.tokens += other.tokens
        self.wakings += other.wakings
        self.errors.update(other.errors)
        self.examples = {**other.examples, **self.examples}
        for name, histogram in other.histograms.items():
            self.histograms.setdefault(name, Histogram()).merge(histogram)

    def to_json(self) -> dict[str, Any]:
        """Plain types; `from_json` reads them."""
        return {
            "streams": self.streams,
            "complete": self.complete,
            "tokens": self.tokens,
            "wakings": self.wakings,
            "errors": dict(self.errors),
            "examples": self.examples,
            "histograms": {name: histogram.to_json() for name, histogram in self.histograms.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The other direction of `to_json`."""
        histograms = {name: Histogram.from_json(each) for name, each in data["histograms"].items()}
        numbers = (data["streams"], data["complete"], data["tokens"], data["wakings"])
        return cls(*numbers, Counter(data["errors"]), dict(data.get("examples", {})), histograms)


@dataclass(slots=True)
class Second:
    """What ended within one second, of all scenarios, and how many users there were at its end."""

    users: int = 0
    tally: Tally = field(default_factory=Tally)


@dataclass(slots=True)
class Reading:
    """A process at a moment: seconds since the run's start, resident bytes, CPU seconds since the process's start."""

    at_s: float
    resident_bytes: float
    cpu_s: float


@dataclass(slots=True)
class Result:
    """One run of load."""

    about: dict[str, Any] = field(default_factory=dict)
    """What was run: profile, scenario, host, started (unix seconds), release, session."""
    scenarios: dict[str, Tally] = field(default_factory=dict)
    timeline: dict[int, Second] = field(default_factory=dict)
    """By unix second."""
    processes: dict[str, list[Reading]] = field(default_factory=dict)

    def add(self, scenario: str, stream: Stream, *, now: float | None = None) -> None:
        """Count a stream that has just ended."""
        self.scenarios.setdefault(scenario, Tally()).add(stream)
        self.timeline.setdefault(int(now or time.time()), Second()).tally.add(stream)

    def merge(self, other: Result) -> None:
        """Add what another worker has measured."""
        for name, tally in other.scenarios.items():
            self.scenarios.setdefault(name, Tally()).merge(tally)
        for at, second in other.timeline.items():
            mine = self.timeline.setdefault(at, Second())
            mine.users = max(mine.users, second.users)
            mine.tally.merge(second.tally)

    def to_json(self) -> dict[str, Any]:
        """Plain types; `from_json` reads them."""
        return {
            "version": VERSION,
            "about": self.about,
            "scenarios": {name: tally.to_json() for name, tally in self.scenarios.items()},
            "timeline": [
                {"unix_s": at, "users": second.users, **second.tally.to_json()}
                for at, second in sorted(self.timeline.items())
            ],
            "processes": {
                name: [[each.at_s, each.resident_bytes, each.cpu_s] for each in readings]
                for name, readings in self.processes.items()
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The other direction of `to_json`. Raises ValueError or KeyError for anything else."""
        if data.get("version") != VERSION:
            raise ValueError(f"results of version {data.get('version')}, not {VERSION}")
        return cls(
            dict(data["about"]),
            {name: Tally.from_json(each) for name, each in data["scenarios"].items()},
            {each["unix_s"]: Second(each["users"], Tally.from_json(each)) for each in data["timeline"]},
            {name: [Reading(*each) for each in readings] for name, readings in data["processes"].items()},
        )

    def write(self, path: Path) -> None:
        """Write it as a file, with its folder."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(orjson.dumps(self.to_json()))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises ResultError."""
        try:
            return cls.from_json(orjson.loads(path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ResultError(f"{path} holds no results of a load test: {error}") from error
