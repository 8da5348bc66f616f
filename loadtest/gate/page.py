"""The HTML report: one file without anything from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from loadtest.gate import figures
from loadtest.gate.judge import Judgement
from loadtest.gate.plots import Line, plot
from loadtest.gate.report import HEADS, WORDS, rows
from loadtest.histogram import GROWTH, Histogram
from loadtest.results import GAP, TTFT, Result, Tally

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1f2328;background:#fff}
h1 .refused,td.refused{color:#cf222e}h1 .passed,td.passed{color:#1a7f37}h1 .undecided,td.undecided{color:#9a6700}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .5rem;border-bottom:1px solid #d1d9e0}
svg{width:100%;height:auto;background:#f6f8fa;margin:.5rem 0}svg text{font:11px system-ui,sans-serif;fill:#59636e}
.grid{stroke:#d1d9e0}.mark{stroke:#cf222e;stroke-dasharray:4}
"""
POINTS = 120
"""The most points of a line over time."""


def page(judgement: Judgement, candidate: Sequence[Result], baseline: Sequence[Result]) -> str:
    """The whole document."""
    verdict = judgement.verdict
    sides = [("candidate", candidate), *([("baseline", baseline)] if baseline else [])]
    parts = [
        f"<h1>Load test: <span class={verdict.value}>{WORDS[verdict]}</span></h1>",
        f"<p>{html.escape(judgement.candidate or 'candidate')} · environment {html.escape(judgement.environment)} · "
        f"profile {html.escape(judgement.profile)} · {judgement.rounds} rounds</p>",
        _table(judgement),
        "<h2>Latency over time</h2>",
        plot(
            [
                Line(f"{name}, round {n}", _over_time(each))
                for name, side in sides
                for n, each in enumerate(side[-2:], 1)
            ],
            x="seconds",
            y="first token p95, ms",
        ),
    ]
    for title, figure in (("Time to first token", TTFT), ("Gap between tokens", GAP)):
        merged = [(name, _merged(side, figure)) for name, side in sides]
        parts.append(f"<h2>{title}</h2>")
        lines = [Line(name, _distribution(histogram)) for name, histogram in merged]
        parts.append(plot(lines, x="ms", y="% of all at most so long", log_x=True))
    parts.append("<h2>Knee</h2>")
    parts.append(_knee(candidate))
    memory = [
        Line(name, [(each.at_s, each.resident_bytes / 2**20) for each in readings])
        for name, readings in candidate[-1].processes.items()
    ]
    if memory:
        parts += ["<h2>Memory</h2>", plot(memory, x="seconds", y="resident MiB")]
    body = "\n".join(parts)
    head = "<meta charset=utf-8><meta name=viewport content='width=device-width'><title>Load test</title>"
    head += f"<style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>\n"


def _table(judgement: Judgement) -> str:
    head = "".join(f"<th>{each}" for each in HEADS)
    body = "".join(
        "<tr>" + "".join(f"<td class={row[4]}>{html.escape(cell)}" for cell in row) for row in rows(judgement)
    )
    return f"<table><tr>{head}{body}</table>"


def _merged(results: Iterable[Result], figure: str) -> Histogram:
    whole = Histogram()
    for result in results:
        for tally in result.scenarios.values():
            if figure in tally.histograms:
                whole.merge(tally.histograms[figure])
    return whole


def _distribution(histogram: Histogram) -> list[tuple[float, float]]:
    points, below, count = [], 0, histogram.count
    for bucket in sorted(histogram.counts):
        below += histogram.counts[bucket]
        points.append((GROWTH ** (bucket + 1), 100 * below / count))
    return points


def _over_time(result: Result) -> list[tuple[float, float]]:
    if not result.timeline:
        return []
    began = min(result.timeline)
    length = max(result.timeline) - began + 1
    step = max(1, -(-length // POINTS))
    slots: dict[int, Tally] = {}
    for at, second in result.timeline.items():
        slots.setdefault((at - began) // step * step, Tally()).merge(second.tally)
    return [
        (at, tally.histograms[TTFT].quantile(0.95)) for at, tally in sorted(slots.items()) if TTFT in tally.histograms
    ]


def _knee(candidate: Sequence[Result]) -> str:
    found = figures.steps(candidate[-1])
    if len(found) < 3:
        return "<p>The number of users hardly changed. The profile breakpoint finds the knee.</p>"
    best = figures.knee(found)
    text = (
        f"<p>The knee is at {best.users} users: {best.tokens_per_s:,.0f} tokens/s.</p>" if best else "<p>No knee.</p>"
    )
    at = float(best.users) if best else None
    latency = [Line("first token p95, ms", [(s.users, s.ttft_p95_ms) for s in found], dots=True)]
    output = [Line("tokens/s", [(s.users, s.tokens_per_s) for s in found], dots=True)]
    return text + plot(latency, x="users", y="ms", mark_x=at) + plot(output, x="users", y="tokens/s", mark_x=at)
