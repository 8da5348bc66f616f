"""Bounds of what is known from few noisy rounds: Student's t for means, Clopper and Pearson for shares."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, and bounds each of which the truth passes with 1 - confidence at most."""

    estimate: float
    low: float
    high: float

    def map(self, function: Callable[[float], float]) -> Interval:
        """The same of a growing function of it."""
        return Interval(function(self.estimate), function(self.low), function(self.high))


def mean(values: Sequence[float], confidence: float) -> Interval:
    """Of values that scatter about as a normal distribution does; one value knows no bounds."""
    middle = statistics.fmean(values)
    if len(values) < 2:
        return Interval(middle, -math.inf, math.inf)
    half = t_quantile(confidence, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(middle, middle - half, middle + half)


def difference(ours: Sequence[float], theirs: Sequence[float], confidence: float) -> Interval:
    """Of two means from rounds that have nothing to do with each other (Welch)."""
    middle = statistics.fmean(ours) - statistics.fmean(theirs)
    if min(len(ours), len(theirs)) < 2:
        return Interval(middle, -math.inf, math.inf)
    parts = [statistics.variance(each) / len(each) for each in (ours, theirs)]
    if not (error := sum(parts)):
        return Interval(middle, middle, middle)
    freedom = error**2 / sum(part**2 / (len(each) - 1) for part, each in zip(parts, (ours, theirs), strict=True))
    half = t_quantile(confidence, freedom) * math.sqrt(error)
    return Interval(middle, middle - half, middle + half)


def share(hits: int, of: int, confidence: float) -> Interval:
    """Of hits among tries that are independent (Clopper and Pearson)."""
    if not of:
        return Interval(0.0, 0.0, 1.0)
    low = _solve(lambda p: 1 - _beta(p, hits, of - hits + 1), confidence) if hits else 0.0
    high = _solve(lambda p: 1 - _beta(p, hits + 1, of - hits), 1 - confidence) if hits < of else 1.0
    return Interval(hits / of, low, high)


def t_quantile(probability: float, freedom: float) -> float:
    """Of Student's t, for probabilities above one half."""

    def below(t: float) -> float:
        return 1 - 0.5 * _beta(freedom / (freedom + t * t), freedom / 2, 0.5)

    high = 1.0
    while below(high) < probability:
        high *= 2
    low = 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < probability else (low, middle)
    return high


def _solve(falling: Callable[[float], float], value: float) -> float:
    """Where a function that falls from 1 to 0 on the unit interval has this value."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > value else (low, middle)
    return (low + high) / 2


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by Lentz's continued fraction (Numerical Recipes, 6.4)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    tiny = 1e-300
    c, d, fraction = 1.0, 0.0, 1.0
    for i in range(400):
        m = i // 2
        if i == 0:
            step = 1.0
        elif i % 2 == 0:
            step = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            step = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / ((1 + step * d) or tiny)
        c = (1 + step / c) or tiny
        fraction *= c * d
        if abs(1 - c * d) < 1e-12:
            break
    return front * (fraction - 1)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs of points (Theil and Sen): one step up is no slope."""
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for index, earlier in enumerate(points)
        for later in points[index + 1 :]
        if later[0] > earlier[0]
    ]
    return statistics.median(slopes) if slopes else 0.0
