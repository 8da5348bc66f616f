"""What the handlers of one server share: the day, faults that wait, what was asked, what was posted."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from typing import Any

import orjson
from aiohttp import web

ABOUT = (
    "Answers like Tavily, SearXNG, MediaWiki and Open-Meteo from a small set of made-up data. "
    "For development and tests only: nothing here is a real search, encyclopedia or forecast."
)
HEADER = "x-dormouse-development-data"


@dataclass(frozen=True, slots=True)
class Settings:
    """today: of all forecasts; None: the real one."""

    host: str = "127.0.0.1"
    port: int = 8790
    today: date | None = None


@dataclass(slots=True)
class Fault:
    """An answer in place of the real one, for the next `times` requests whose path begins with `path`.

    status 0: the real answer, but cut in the middle (cut) or late (delay_ms).
    """

    path: str = "/"
    status: int = 0
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    delay_ms: float = 0
    cut: bool = False
    times: int = 1

    @classmethod
    def parse(cls, values: Any) -> Fault:
        """Raises ValueError."""
        known = {item.name for item in fields(cls)}
        if not isinstance(values, Mapping) or set(values) - known:
            raise ValueError(f"a fault is an object of {', '.join(sorted(known))}")
        fault = cls(**values)
        for name, value in asdict(fault).items():
            wanted = type(getattr(cls(), name))
            if not isinstance(value, (int, float) if wanted in (int, float) else wanted):
                raise ValueError(f"{name} wants {wanted.__name__}")
        return fault


@dataclass(slots=True)
class State:
    """notes: what was posted to /notes. asked: the last requests, as (method, path with query, headers)."""

    today: date | None = None
    faults: list[Fault] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    asked: deque[tuple[str, str, dict[str, str]]] = field(default_factory=lambda: deque(maxlen=1000))

    def take_fault(self, path: str) -> Fault | None:
        """The fault that strikes this request, if any; counts it."""
        for fault in self.faults:
            if path.startswith(fault.path):
                fault.times -= 1
                if not fault.times:
                    self.faults.remove(fault)
                return fault
        return None


STATE = web.AppKey("state", State)


def json_response(value: Any, status: int = 200) -> web.Response:
    """As the providers send it."""
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json", charset="utf-8")
