"""Profiles: how many users there are at which moment."""

from __future__ import annotations

import math
from collections.abc import Callable

from locust import LoadTestShape

from loadtest.results import TTFT, Result, Tally
from loadtest.traffic.settings import Settings

Tick = tuple[int, float] | None
AT_ONCE = 100.0
"""Users that come or go in a second, where a profile says nothing else."""


class Profile(LoadTestShape):
    """A profile, told its settings and what has been measured so far."""

    abstract = True
    seconds = 60.0

    def __init__(self, settings: Settings, measured: Callable[[], Result]) -> None:
        super().__init__()
        self.users = settings.users
        self.length = settings.seconds or self.seconds
        self.measured = measured

    def tick(self) -> Tick:
        """Users and how fast they come; None ends the run."""
        at = self.get_run_time()
        return None if at >= self.length else (self.at(at), AT_ONCE)

    def at(self, seconds: float) -> int:
        """How many users at this moment of the run."""
        return self.users


class Smoke(Profile):
    """The base number of users for a minute."""


class Steady(Profile):
    """Users come over the first tenth, then stay: ten minutes."""

    seconds = 600.0

    def at(self, seconds: float) -> int:
        return max(1, math.ceil(self.users * min(1.0, seconds / (self.length / 10))))


class Soak(Steady):
    """The same for four hours: what leaks shows."""

    seconds = 4 * 3600.0


class Burst(Profile):
    """Ten times the users in the middle third of each of three rounds."""

    seconds = 360.0
    factor = 10

    def at(self, seconds: float) -> int:
        third = int(seconds / (self.length / 9)) % 3
        return self.users * (self.factor if third == 1 else 1)


class Cold(Profile):
    """Nobody for so long that functions sleep, then everybody at once; five times."""

    seconds = 750.0
    rounds = 5
    awake = 0.2
    """The share of a round in which there are users."""

    def at(self, seconds: float) -> int:
        # Locust looks once a second: a round that is too short would never be seen awake.
        rounds = max(1, min(self.rounds, int(self.length / 15)))
        of_round = (seconds / (self.length / rounds)) % 1.0
        return self.users if of_round >= 1.0 - self.awake else 0


class Breakpoint(Profile):
    """Half as many users again with every step, until slow first tokens or lost streams say: enough."""

    seconds = 720.0
    steps = 24
    growth = 1.5
    slower = 3.0
    later_ms = 400.0
    """First tokens that are late by less are not looked at, however quick they were with few users."""
    lost = 0.02

    def __init__(self, settings: Settings, measured: Callable[[], Result]) -> None:
        super().__init__(settings, measured)
        self.step_s = self.length / self.steps

    def tick(self) -> Tick:
        at = self.get_run_time()
        step = int(at / self.step_s)
        if at >= self.length or self._enough(at, step):
            return None
        return round(self.users * self.growth**step), AT_ONCE

    def _enough(self, at: float, step: int) -> bool:
        """Two steps behind the knee are measured, too: a knee shows from both sides."""
        seconds = sorted(self.measured().timeline)
        if step < 3 or not seconds:
            return False
        first, last = Tally(), Tally()
        began = seconds[0]
        for unix_s, second in self.measured().timeline.items():
            if unix_s - began < self.step_s:
                first.merge(second.tally)
            elif unix_s - began >= at - 2 * self.step_s:
                last.merge(second.tally)
        if TTFT not in first.histograms or TTFT not in last.histograms:
            return bool(last.errors)
        before, now = (each.histograms[TTFT].quantile(0.95) for each in (first, last))
        return (
            now > max(self.slower * before, before + self.later_ms)
            or sum(last.errors.values()) > self.lost * last.streams
        )


PROFILES: dict[str, type[Profile]] = {
    "smoke": Smoke,
    "steady": Steady,
    "burst": Burst,
    "cold": Cold,
    "soak": Soak,
    "breakpoint": Breakpoint,
}
