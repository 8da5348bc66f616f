"""Faults on demand: which one, for which requests, how often."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

KINDS = {
    "hang": "says nothing more after `at_token` tokens (0 = before the first) and keeps the connection open",
    "reset": "resets the connection after `at_token` tokens",
    "cut": "closes the connection after `at_token` tokens, in the middle of the chunked body",
    "truncate": "ends the stream properly after `at_token` tokens, but without the closing line",
    "malformed": "writes a line that is not JSON after `at_token` tokens",
    "error": "writes an error line after `at_token` tokens; before the first token an HTTP 500",
    "busy": "refuses with 503",
    "slow": "makes every token take `factor` times as long",
}


class FaultError(ValueError):
    """A fault that cannot be set up; the message says why."""


@dataclass(slots=True)
class Fault:
    """One fault. It strikes the next `times` requests that match (0 = all), each with `probability`, and lets the first
    `after` of them pass.
    """

    kind: str
    at_token: int = 0
    times: int = 1
    after: int = 0
    probability: float = 1.0
    model: str = ""
    endpoint: str = ""
    factor: float = 10.0

    @classmethod
    def parse(cls, values: object) -> Fault:
        """A fault from a JSON object. Raises FaultError."""
        if not isinstance(values, Mapping):
            raise FaultError("a fault is a JSON object")
        known = {item.name: item for item in fields(cls)}
        if unknown := set(values) - set(known):
            raise FaultError(f"a fault has no {', '.join(sorted(unknown))}; it has {', '.join(known)}")
        if values.get("kind") not in KINDS:
            raise FaultError(f"kind is one of {', '.join(KINDS)}")
        for name in ("at_token", "times", "after", "probability", "factor"):
            value = values.get(name, 0)
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise FaultError(f"{name} wants a number that is not negative")
        for name in ("model", "endpoint"):
            if not isinstance(values.get(name, ""), str):
                raise FaultError(f"{name} wants a string")
        return cls(**values)

    def shown(self) -> dict[str, Any]:
        """As JSON; `times` is how many strikes are left."""
        return asdict(self)


class Faults:
    """The faults that are waiting, in the order in which they are tried."""

    def __init__(self, seed: int) -> None:
        self._faults: list[Fault] = []
        self._random = random.Random(seed)  # noqa: S311 - which request fails must be the same in every run

    def replace(self, faults: list[Fault], seed: int) -> None:
        """Drop what is waiting and wait with these."""
        self._faults = list(faults)
        self._random = random.Random(seed)  # noqa: S311 - as above

    def add(self, faults: list[Fault]) -> None:
        """Queue more behind what is waiting."""
        self._faults += faults

    def shown(self) -> list[dict[str, Any]]:
        """What is waiting, as JSON."""
        return [fault.shown() for fault in self._faults]

    def take(self, endpoint: str, model: str) -> Fault | None:
        """The fault that strikes this request, if any; counts it."""
        for fault in self._faults:
            if fault.model and fault.model not in (model, model.removesuffix(":latest")):
                continue
            if fault.endpoint and fault.endpoint != endpoint:
                continue
            if fault.probability < 1 and self._random.random() >= fault.probability:
                continue
            if fault.after:
                fault.after -= 1
                continue
            if fault.times == 1:
                self._faults.remove(fault)
            elif fault.times:
                fault.times -= 1
            return fault
        return None
