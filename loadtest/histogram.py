"""A histogram of times whose buckets grow by a fixed share, so that two of them can be added without loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

GROWTH = 1.02
"""A bucket's upper bound over its lower one: a quantile is off by one percent at most."""

_LOG = math.log(GROWTH)
_SMALLEST = -1000
"""The bucket of zero; every other value is far above 1.02^-1000."""


@dataclass(slots=True)
class Histogram:
    """Counts by bucket: bucket i holds values from GROWTH^i to below GROWTH^(i+1)."""

    counts: dict[int, int] = field(default_factory=dict)
    total: float = 0.0
    """The sum of the values."""

    def add(self, value: float) -> None:
        """Count one value; negative ones count as zero."""
        bucket = math.floor(math.log(value) / _LOG) if value > 0 else _SMALLEST
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self.total += max(0.0, value)

    def merge(self, other: Histogram) -> None:
        """Add what the other has counted."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.total += other.total

    @property
    def count(self) -> int:
        """How many values."""
        return sum(self.counts.values())

    @property
    def mean(self) -> float:
        """Not a number where nothing was counted."""
        return self.total / self.count if self.counts else math.nan

    def quantile(self, share: float) -> float:
        """The middle of the bucket below or in which `share` of the values lie; not a number where there are none."""
        left = math.ceil(share * self.count)
        for bucket in sorted(self.counts):
            left -= self.counts[bucket]
            if left <= 0:
                return 0.0 if bucket == _SMALLEST else GROWTH ** (bucket + 0.5)
        return math.nan

    def to_json(self) -> dict[str, Any]:
        """Plain types; `from_json` reads them."""
        return {"growth": GROWTH, "total": self.total, "counts": {str(b): n for b, n in sorted(self.counts.items())}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises ValueError for a histogram with other buckets."""
        if data["growth"] != GROWTH:
            raise ValueError(f"a histogram whose buckets grow by {data['growth']}, not by {GROWTH}, cannot be added")
        return cls({int(bucket): int(count) for bucket, count in data["counts"].items()}, float(data["total"]))
