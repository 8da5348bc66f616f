"""What a run of load is told, through the environment of Locust's processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

PREFIX = "DORMOUSE_LOAD_"
STOP_S = 30
"""So long the last streams may take to their end."""


CANDIDATE, BASELINE = "candidate", "baseline"


@dataclass(frozen=True, slots=True)
class Side:
    """One of two platforms that are played on: its name, its file, its processes' metrics."""

    name: str
    out: str
    watched: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Settings:
    """One run. `users` is the base that a profile multiplies; `seconds` its length, 0 for the profile's own."""

    profile: str = "smoke"
    scenario: str = "mixed"
    users: int = 10
    seconds: float = 0.0
    think_s: float = 0.2
    """The pause of a user between two streams."""
    model: str = ""
    """Of plain chats; empty: the agent `chat`."""
    max_tokens: int = 0
    """Of plain chats; 0: no limit."""
    timeout_s: float = 120.0
    """Silence after which a stream counts as lost."""
    out: str = ""
    """The file for the result, on the master."""
    baseline: str = ""
    """URL of the accepted release: half of the users ask there at the same time, so that both have the same weather."""
    baseline_out: str = ""
    """The file for what those have measured."""
    baseline_watch: str = ""
    """As `watch`."""
    watch: str = ""
    """Processes to watch: name=URL of its metrics, several with commas."""
    watch_s: float = 1.0
    """How often they are read."""
    same_text: bool = False
    """Whether every plain chat has to bring the same text, as a deterministic model's does."""
    release: str = ""
    session: str = ""
    """Runs of one session are taken in turns, so that they share the noise of their time."""

    def environ(self) -> dict[str, str]:
        """Variables that `read` understands."""
        return {PREFIX + name.upper(): str(value) for name, value in asdict(self).items()}

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """From the environment; what is not there has its default."""
        values: dict[str, object] = {}
        for each in fields(cls):
            if (text := environ.get(PREFIX + each.name.upper())) is not None:
                kind: Any = type(each.default)
                values[each.name] = text == "True" if kind is bool else kind(text)
        return cls(**values)  # type: ignore[arg-type]

    @property
    def watched(self) -> dict[str, str]:
        """URLs of metrics by the name of the process."""
        return _urls(self.watch)

    @property
    def sides(self) -> tuple[Side, ...]:
        """Who is played on: the candidate, and the accepted release if there is one."""
        ours = Side(CANDIDATE, self.out, _urls(self.watch))
        return (ours, Side(BASELINE, self.baseline_out, _urls(self.baseline_watch))) if self.baseline else (ours,)


def _urls(watch: str) -> dict[str, str]:
    pairs = (each.partition("=") for each in watch.split(",") if each)
    return {name: url for name, _, url in pairs}
