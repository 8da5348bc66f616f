"""Rates as people write them, and what the limits' script counts in: `10/min` is one every 6 s, and 10 at once."""

import re
from dataclasses import dataclass
from typing import Any, Final

_UNITS: Final = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600, "d": 86400,
                 "day": 86400}  # fmt: skip
_FORM: Final = re.compile(r"\s*(\d{1,12})\s*/\s*([a-z]+)\s*")
_NAMES: Final = {1: "second", 60: "minute", 3600: "hour", 86400: "day"}
_MICROSECONDS: Final = 1_000_000
_COARSE_US: Final = 1000


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in any period, of which all may come at once."""

    count: int
    period_s: int

    @classmethod
    def parse(cls, value: Any) -> "Rate":
        """Reads `10/min`. Raises ValueError, which says what is wanted."""
        match = _FORM.fullmatch(value) if isinstance(value, str) else None
        if match is None or match[2] not in _UNITS or int(match[1]) < 1:
            raise ValueError(f"wants a rate such as 10/min or 100/h (s, min, h, d), at least 1; not {value!r}")
        rate = cls(int(match[1]), _UNITS[match[2]])
        if rate.count > rate.period_s * _MICROSECONDS:
            raise ValueError(f"wants at most a million in a second; not {value!r}")
        return rate

    @property
    def increment_us(self) -> int:
        """What one of them uses up, in microseconds."""
        return self.cost_us(1)

    @property
    def capacity_us(self) -> int:
        """What there is to be used up: room for exactly `count`, or where one is too little to be counted in whole
        microseconds for a thousandth less."""
        whole = self.period_s * _MICROSECONDS // self.count
        return whole * self.count if whole >= _COARSE_US else self.period_s * _MICROSECONDS

    def cost_us(self, amount: int) -> int:
        """What so many use up together, never less than that."""
        return -(-amount * self.capacity_us // self.count)

    def __str__(self) -> str:
        return f"{self.count} per {_NAMES[self.period_s]}"
