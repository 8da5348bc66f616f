"""Writes the figures down: a table for people, JSON for programs."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil

from loadtest.cold_start import ColdStart
from loadtest.figures import Figures
from loadtest.idle_streams import IdleStreams

STRAIGHT = "straight"
PLATFORM_PROCESSES = ("edge", "agent_fn", "valkey")
PROCESSES = (*PLATFORM_PROCESSES, "model server", "load generator")


@dataclass(slots=True)
class Report:
    """All that one run measured. Memory in MB."""

    settings: Mapping[str, Any]
    figures: list[Figures] = field(default_factory=list)
    resident_mb: dict[str, float] = field(default_factory=dict)
    resident_after_mb: dict[str, float] = field(default_factory=dict)
    idle_streams: IdleStreams | None = None
    cold_starts: list[ColdStart] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Everything, with the machine it was measured on and the ratios."""
        return {
            "machine": {
                "cpus": psutil.cpu_count(),
                "memory_mb": psutil.virtual_memory().total // 2**20,
                "python": platform.python_version(),
                "system": f"{platform.system()} {platform.machine()}",
            },
            **asdict(self),
            "ratios": [compared(self.figures, figures) for figures in self.figures if figures.way != STRAIGHT],
        }


def straight_beside(figures: Sequence[Figures], one: Figures) -> Figures | None:
    """The straight measurement at the same number of streams."""
    return next((other for other in figures if _beside(other, one)), None)


def _beside(other: Figures, one: Figures) -> bool:
    return other.way == STRAIGHT and (other.streams, other.start) == (one.streams, one.start)


def compared(figures: Sequence[Figures], one: Figures) -> dict[str, Any]:
    """What the platform adds at one number of streams."""
    straight = straight_beside(figures, one)
    ratio: dict[str, Any] = {
        "way": one.way,
        "start": one.start,
        "streams": one.streams,
        "platform_us_per_token": platform_us(one),
        "tokens_per_piece": one.tokens / max(one.pieces, 1),
    }
    if straight is not None:
        ratio |= {
            "added_ttft_p50_ms": one.ttft_p50_ms - straight.ttft_p50_ms,
            "added_ttft_p95_ms": one.ttft_p95_ms - straight.ttft_p95_ms,
            "token_rate": one.tokens_per_s / straight.tokens_per_s if straight.tokens_per_s else 0.0,
        }
    return ratio


def platform_us(figures: Figures) -> float:
    """CPU of edge, agent_fn and Valkey together, in microseconds per token."""
    return 1000 * sum(figures.cpu_s_per_1000_tokens.get(name, 0.0) for name in PLATFORM_PROCESSES)


def table(report: Report) -> str:
    """The report in columns of text."""
    rows = [
        ["streams", "start", "way", "ttft p50", "p95", "added p50", "p95", "whole p50", "slowest", "/median",
         "tokens/s", "rate", "tok/piece", "lost", "other cores"]
    ]  # fmt: skip
    cpu = [["streams", "start", "way", *PROCESSES, "platform"]]
    for one in report.figures:
        ratio = compared(report.figures, one)
        added = one.way != STRAIGHT and "token_rate" in ratio
        rows.append([
            str(one.streams), one.start, one.way, f"{one.ttft_p50_ms:.1f}", f"{one.ttft_p95_ms:.1f}",
            f"{ratio['added_ttft_p50_ms']:+.1f}" if added else "",
            f"{ratio['added_ttft_p95_ms']:+.1f}" if added else "",
            f"{one.whole_p50_ms:.0f}", f"{one.whole_max_ms:.0f}", f"{one.slowest_to_median:.2f}",
            f"{one.tokens_per_s:,.0f}", f"{ratio['token_rate']:.1%}" if added else "",
            f"{ratio['tokens_per_piece']:.2f}", str(one.lost), f"{one.other_cores:.2f}",
        ])  # fmt: skip
        used = one.cpu_s_per_1000_tokens
        cells = [f"{used[name]:.4f}" if name in used else "" for name in PROCESSES]
        cpu.append([str(one.streams), one.start, one.way, *cells, f"{platform_us(one):.0f} us/token" if added else ""])
    parts = [
        "Streamed chat; times in ms, medians over rounds; a round's streams start at once or spread over one stream's "
        "length; other cores = CPU taken by processes that have no part in it",
        columns(rows),
        "CPU seconds per 1,000 tokens; platform = edge + agent_fn + valkey",
        columns(cpu),
    ]
    parts += [
        f"lost at {one.streams} streams, {one.way}: {'; '.join(one.reasons)}" for one in report.figures if one.lost
    ]
    if report.resident_mb:
        memory = [["process", "after start", "after the load"]]
        memory += [
            [name, f"{size:.0f}", f"{report.resident_after_mb.get(name, 0):.0f}"]
            for name, size in report.resident_mb.items()
        ]
        parts += ["Resident memory, MB", columns(memory)]
    if idle := report.idle_streams:
        both = idle.kb_per_stream.get("edge", 0) + idle.kb_per_stream.get("agent_fn", 0)
        each = ", ".join(f"{name} {size:.1f}" for name, size in idle.kb_per_stream.items())
        parts.append(
            f"{idle.streams} open idle streams: {both:.1f} KB each in edge + agent_fn ({each}); "
            f"when all clients left, the last model call ended after {idle.last_abort_s:.2f} s"
        )
    if report.cold_starts:
        starts = [["process start to gRPC SERVING", "median ms", "least", "most", "CPU ms"]]
        starts += [
            [one.name, f"{one.serving_ms:.0f}", f"{one.least_ms:.0f}", f"{one.most_ms:.0f}", f"{one.cpu_ms:.0f}"]
            for one in report.cold_starts
        ]
        parts.append(columns(starts))
    parts += [f"Not measured: {reason}" for reason in report.missing]
    return "\n\n".join(parts)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text with right-aligned columns; the first row is the head."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
