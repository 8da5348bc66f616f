"""Budgets: what a release may cost, one YAML file per environment. Every field is in docs/guides/load-tests.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import yaml

from loadtest.histogram import Histogram
from loadtest.results import GAP, SPEED, TTFT, WHOLE, WOKEN

LOST, KNEE = "lost", "knee_users"
TIMES: Final = {
    "ttft_p50_ms": (TTFT, 0.5),
    "ttft_p95_ms": (TTFT, 0.95),
    "ttft_p99_ms": (TTFT, 0.99),
    "gap_p50_ms": (GAP, 0.5),
    "gap_p99_ms": (GAP, 0.99),
    "whole_p50_ms": (WHOLE, 0.5),
    "whole_p95_ms": (WHOLE, 0.95),
    "woken_ttft_p50_ms": (WOKEN, 0.5),
    "woken_ttft_p95_ms": (WOKEN, 0.95),
}
TOKEN_TIME: Final = "token_ms_p50"  # noqa: S105  # a figure
"""The time of a token within a median stream: one over its speed, so that less is better as everywhere here."""

OF_SCENARIOS: Final = frozenset({*TIMES, TOKEN_TIME, LOST})
OF_PROCESSES: Final = frozenset({"rss_mib", "rss_bytes_per_stream", "cpu_ms_per_stream"})
NEVER_RELATIVE: Final = frozenset({LOST, KNEE, "rss_bytes_per_stream"})


class BudgetError(ValueError):
    """A budget that cannot be used; the message names the place in the file and what it wants."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Refused when surely above `at_most`; passed only when surely below `surely_below`, where that is given."""

    at_most: float
    surely_below: float | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One figure of one scenario, of one process, or of the whole run ("")."""

    of: str
    figure: str
    absolute: Limit | None
    relative: Limit | None
    only: frozenset[str]
    """Profiles that it is meant for; none: for all."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One environment's."""

    environment: str
    confidence: float
    rounds: int
    """The fewest rounds that can decide what is relative."""
    most_rounds: int
    checks: tuple[Check, ...]
    users: int = 10
    """So many make the streams that its shares ask for, in `most_rounds` at least."""
    seconds: float = 0.0
    """Of a round; 0: the profile's own."""
    max_tokens: int = 0
    """Of plain chats; 0: no limit."""

    def for_profile(self, profile: str) -> tuple[Check, ...]:
        """The checks that are meant for it."""
        return tuple(check for check in self.checks if not check.only or profile in check.only)


def read_budget(path: Path) -> Budget:
    """Raises BudgetError."""
    try:
        data = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise BudgetError(f"{path}: {error}") from error
    try:
        return _budget(data, path.stem)
    except BudgetError as error:
        raise BudgetError(f"{path}: {error}") from None


def _budget(data: Any, environment: str) -> Budget:
    top = _mapping(
        data,
        "the file",
        {"confidence", "rounds", "most_rounds", "load", "relative", "scenarios", "processes", KNEE},
    )
    usual_ratio = _limit(top.get("relative", {"at_most": 1.1, "surely_below": 1.3}), "relative")
    checks: list[Check] = []
    for section, known in (("scenarios", OF_SCENARIOS), ("processes", OF_PROCESSES)):
        for name, figures in _mapping(top.get(section, {}), section).items():
            for figure, limits in _mapping(figures, f"{section}.{name}", known).items():
                checks.append(_check(name, figure, limits, f"{section}.{name}.{figure}", usual_ratio))
    if KNEE in top:
        least = _number(top[KNEE], KNEE)
        # More users are better, so what is bounded is one over them.
        checks.append(Check("", KNEE, Limit(1 / least), None, frozenset({"breakpoint"})))
    confidence = _number(top.get("confidence", 0.99), "confidence")
    if not 0.5 < confidence < 1:
        raise BudgetError(f"confidence wants a share between 0.5 and 1, not {confidence}")
    rounds = int(_number(top.get("rounds", 3), "rounds"))
    most = int(_number(top.get("most_rounds", max(10, rounds)), "most_rounds"))
    if not 2 <= rounds <= most:
        raise BudgetError(f"rounds wants 2 at least and most_rounds no less than that, not {rounds} and {most}")
    load = _mapping(top.get("load", {}), "load", {"users", "seconds", "max_tokens"})
    played = {name: _number(value, f"load.{name}") for name, value in load.items()}
    users, seconds, tokens = (
        played.get(name, usual) for name, usual in (("users", 10), ("seconds", 0.0), ("max_tokens", 0))
    )
    return Budget(environment, confidence, rounds, most, tuple(checks), int(users), seconds, int(tokens))


def _check(name: str, figure: str, limits: Any, place: str, usual: Limit) -> Check:
    found = _mapping(limits, place, {"at_most", "surely_below", "relative", "only"})
    absolute = _limit({k: v for k, v in found.items() if k in ("at_most", "surely_below")}, place, optional=True)
    relative = None
    if (asked := found.get("relative")) is not None and asked is not False:
        if figure in NEVER_RELATIVE:
            raise BudgetError(f"{place}.relative: this figure has absolute limits only")
        relative = usual if asked is True else _limit(asked, f"{place}.relative")
    if absolute is None and relative is None:
        raise BudgetError(f"{place} wants at_most, relative, or both")
    only = found.get("only", [])
    if not isinstance(only, list):
        raise BudgetError(f"{place}.only wants a list of profiles")
    return Check(name, figure, absolute, relative, frozenset(only))


def _limit(data: Any, place: str, *, optional: bool = False) -> Any:
    names = {each.name for each in fields(Limit)}
    found = {name: _number(value, f"{place}.{name}") for name, value in _mapping(data, place, names).items()}
    if "at_most" not in found:
        if optional and not found:
            return None
        raise BudgetError(f"{place} wants at_most")
    limit = Limit(**found)
    if limit.surely_below is not None and limit.surely_below <= limit.at_most:
        raise BudgetError(f"{place}.surely_below wants more than at_most")
    return limit


def _mapping(data: Any, place: str, known: Any = None) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise BudgetError(f"{place} wants a mapping")
    if known is not None and (unknown := set(data) - set(known)):
        raise BudgetError(f"{place}: there is no {min(unknown)!r}; there are {', '.join(sorted(known))}")
    return data


def _number(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise BudgetError(f"{place} wants a number above 0, not {value!r}")
    return float(value)


def time_of(histograms: Mapping[str, Histogram], figure: str) -> float | None:
    """One of TIMES or TOKEN_TIME, in ms; None where it was not measured."""
    name, share = (SPEED, 0.5) if figure == TOKEN_TIME else TIMES[figure]
    histogram = histograms.get(name)
    if histogram is None or not histogram.count:
        return None
    value = histogram.quantile(share)
    return 1000 / value if figure == TOKEN_TIME else max(value, 0.001)
