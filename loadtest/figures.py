"""From samples to figures: percentiles, medians over rounds, CPU per token."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from loadtest.generator import Sample


@dataclass(frozen=True, slots=True)
class Round:
    """One round: its length in seconds, its samples, and the CPU seconds each process and all others used in it."""

    wall_s: float
    samples: Sequence[Sample]
    cpu_s: Mapping[str, float]
    others_cpu_s: float = 0.0

    @property
    def tokens(self) -> int:
        """Tokens that arrived, as the servers count them."""
        return sum(sample.tokens for sample in self.samples)


@dataclass(frozen=True, slots=True)
class Figures:
    """One way (straight or through the platform) at one number of streams; times in ms, medians over rounds.

    `other_cores` is how much of the machine processes used that have no part in the measurement.
    """

    way: str
    start: str
    streams: int
    rounds: int
    ttft_p50_ms: float
    ttft_p95_ms: float
    whole_p50_ms: float
    whole_max_ms: float
    slowest_to_median: float
    tokens_per_s: float
    tokens: int
    pieces: int
    lost: int
    cpu_s_per_1000_tokens: Mapping[str, float]
    other_cores: float
    reasons: Sequence[str]


def percentile(values: Iterable[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summarise(way: str, start: str, streams: int, rounds: Sequence[Round], *, text: str) -> Figures:
    """The figures of some rounds; a stream whose text is not `text` counts as lost."""
    kept = [[sample for sample in each.samples if not sample.lost and sample.text == text] for each in rounds]
    reasons = sorted(
        {
            sample.lost or "wrong text"
            for each in rounds
            for sample in each.samples
            if sample.lost or sample.text != text
        }
    )
    tokens = sum(each.tokens for each in rounds)
    names = list(dict.fromkeys(name for each in rounds for name in each.cpu_s))
    cpu = {name: sum(each.cpu_s.get(name, 0.0) for each in rounds) * 1000 / max(tokens, 1) for name in names}

    def median(values: Iterable[float]) -> float:
        return statistics.median([value for value in values if not math.isnan(value)] or [math.nan])

    wholes = [[sample.whole_s for sample in samples] for samples in kept]
    return Figures(
        way=way,
        start=start,
        streams=streams,
        rounds=len(rounds),
        ttft_p50_ms=1000 * median(percentile((sample.ttft_s for sample in samples), 0.5) for samples in kept),
        ttft_p95_ms=1000 * median(percentile((sample.ttft_s for sample in samples), 0.95) for samples in kept),
        whole_p50_ms=1000 * median(percentile(each, 0.5) for each in wholes),
        whole_max_ms=1000 * median(max(each, default=math.nan) for each in wholes),
        slowest_to_median=max((max(each) / percentile(each, 0.5) for each in wholes if each), default=math.nan),
        tokens_per_s=median(each.tokens / each.wall_s for each in rounds),
        tokens=tokens,
        pieces=sum(sample.pieces for samples in kept for sample in samples),
        lost=sum(len(each.samples) for each in rounds) - sum(len(samples) for samples in kept),
        cpu_s_per_1000_tokens=cpu,
        other_cores=median(each.others_cpu_s / each.wall_s for each in rounds),
        reasons=reasons,
    )
