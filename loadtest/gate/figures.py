"""Figures out of results: of processes, and the knee of a breakpoint run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.gate.statistics import slope
from loadtest.results import TTFT, Reading, Result, Tally

WARM_UP = 1 / 3
"""The share of a run whose memory is not looked at: pools fill, code is loaded."""
SEGMENTS = 6
"""So many pieces the runs of a release are cut into, each with a slope of its own."""
KNEE_SLOWER, KNEE_LATER_MS, KNEE_LOST = 2.0, 200.0, 0.005
LEAST_STREAMS = 5
"""Fewer say nothing about a step."""


def rss_mib(readings: Sequence[Reading]) -> float:
    """The most that was resident."""
    return max(each.resident_bytes for each in readings) / 2**20


def cpu_ms_per_stream(readings: Sequence[Reading], streams: int) -> float | None:
    """None where there are too few readings or streams."""
    if len(readings) < 2 or not streams:
        return None
    return (readings[-1].cpu_s - readings[0].cpu_s) * 1000 / streams


def growth(result: Result, process: str, pieces: int) -> list[float]:
    """How many bytes a process has kept for each stream, in each piece of a run; empty where it was too short."""
    readings = result.processes.get(process, [])
    seconds = result.about.get("seconds", 0.0)
    streams = sum(tally.streams for tally in result.scenarios.values())
    late = [each for each in readings if each.at_s >= seconds * WARM_UP]
    size = len(late) // pieces
    if size < 3 or not streams or not seconds:
        return []
    cut = [late[index * size : (index + 1) * size] for index in range(pieces)]
    per_s = streams / seconds
    return [slope([(each.at_s, each.resident_bytes) for each in piece]) / per_s for piece in cut]


@dataclass(frozen=True, slots=True)
class Step:
    """What so many users have got."""

    users: int
    seconds: int
    ttft_p95_ms: float
    tokens_per_s: float
    streams_per_s: float
    lost: float


def steps(result: Result) -> list[Step]:
    """By the number of users, fewest first."""
    levels: dict[int, list[Tally]] = {}
    for second in result.timeline.values():
        levels.setdefault(second.users, []).append(second.tally)
    found = []
    for users, tallies in sorted(levels.items()):
        whole = Tally()
        for tally in tallies:
            whole.merge(tally)
        if whole.streams < LEAST_STREAMS:
            continue
        ttft = whole.histograms[TTFT].quantile(0.95) if TTFT in whole.histograms else math.inf
        lost = 1 - whole.complete / whole.streams
        found.append(Step(users, len(tallies), ttft, whole.tokens / len(tallies), whole.streams / len(tallies), lost))
    return found


def knee(found: Sequence[Step]) -> Step | None:
    """The last step before the first token takes twice as long as with few users, and notably so, or streams are lost.

    A step that is bad alone has had bad luck.
    """
    if not found:
        return None
    calm = statistics.median(step.ttft_p95_ms for step in found[: max(1, len(found) // 4)])
    late = max(KNEE_SLOWER * calm, calm + KNEE_LATER_MS)
    bad = [step.ttft_p95_ms > late or step.lost > KNEE_LOST for step in found]
    best = None
    for step, itself, following in zip(found, bad, [*bad[1:], True], strict=True):
        if itself and following:
            break
        best = step
    return best
