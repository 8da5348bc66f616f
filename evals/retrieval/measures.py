"""How good a ranking is, and how sure a mean is.

A ranking is told as one set for each passage, best first: the numbers of the question's answers that the passage holds.
An answer counts where it is found first; a second passage with the same words brings nothing.
"""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

Held = frozenset[int]
_RESAMPLED: Final = 2_000


def recall(ranking: Sequence[Held], answers: int, at: int) -> float:
    """The share of the answers among the first passages."""
    return len(frozenset[int]().union(*ranking[:at])) / answers


def reciprocal_rank(ranking: Sequence[Held], at: int) -> float:
    """1 / the place of the first passage that holds any answer; 0 where there is none."""
    return next((1 / place for place, held in enumerate(ranking[:at], start=1) if held), 0.0)


def ndcg(ranking: Sequence[Held], passages: Iterable[Held], at: int) -> float:
    """Normalised discounted cumulative gain (Järvelin, Kekäläinen 2002): gain 1 for each answer, divided by log2 of the
    place + 1, against the best order of all passages."""
    return _gain(ranking, at) / _gain(_best_order(passages, at), at)


def _gain(ranking: Iterable[Held], at: int) -> float:
    seen: set[int] = set()
    gain = 0.0
    for place, held in enumerate(islice(ranking, at), start=1):
        gain += len(held - seen) / math.log2(place + 1)
        seen |= held
    return gain


def _best_order(passages: Iterable[Held], at: int) -> list[Held]:
    left = {held for held in passages if held}
    order: list[Held] = []
    seen: frozenset[int] = frozenset()
    while left and len(order) < at:
        best = max(left, key=lambda held: (len(held - seen), sorted(held)))
        if not best - seen:
            break
        order.append(best)
        seen |= best
        left.remove(best)
    return order


@dataclass(frozen=True, slots=True)
class Mean:
    """low and high: the bounds of the bootstrapped 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"  # noqa: RUF001


def mean(values: Sequence[float], seed: int = 1) -> Mean:
    """Resamples the questions, so it tells how far another set of the same kind might be off. At least one value."""
    chance = random.Random(seed)  # noqa: S311
    count = len(values)
    means = sorted(sum(chance.choices(values, k=count)) / count for _ in range(_RESAMPLED))
    return Mean(sum(values) / count, means[int(_RESAMPLED * 0.025)], means[int(_RESAMPLED * 0.975) - 1])


def separation(lower: Sequence[float], higher: Sequence[float]) -> float:
    """How often one of `higher` is above one of `lower`, equals as half: the area under the ROC curve."""
    wins = sum((high > low) + 0.5 * (high == low) for high in higher for low in lower)
    return wins / (len(lower) * len(higher))
