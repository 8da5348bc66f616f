"""The HTML report: one file without anything from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from loadtest.gate import figures
from loadtest.gate.judge import Judgement
from loadtest.gate.plots import Line, plot
from loadtest.gate.report import HEADS, WORDS, rounds, rows
from loadtest.histogram import GROWTH, Histogram
from loadtest.results import GAP, TTFT, WHOLE, Result, Second, Tally

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1f2328;background:#fff}
h2{margin:2rem 0 .25rem}p{margin:.25rem 0}.refused{color:#cf222e}.passed{color:#1a7f37}.undecided{color:#9a6700}
table{border-collapse:collapse;width:100%;margin:1rem 0}
td,th{text-align:left;padding:.25rem .5rem;border-bottom:1px solid #d1d9e0}
.figures :is(td,th):is(:nth-child(2),:nth-child(3)){text-align:right;white-space:nowrap}
.figures td:nth-child(5){font-weight:600}
svg{width:100%;height:auto;background:#f6f8fa;margin:.25rem 0 1rem}svg text{font:11px system-ui,sans-serif;fill:#59636e}
polyline{fill:none;stroke-width:2}.part{stroke-width:1;opacity:.3}.grid{stroke:#d1d9e0}.mark{stroke:#cf222e;stroke-dasharray:4}
.legend span{margin-right:1.25rem;color:#59636e}
.legend i{display:inline-block;width:1rem;height:.2rem;margin-right:.4rem;vertical-align:middle}
"""
POINTS = 120
"""The most points of a line over time."""
LEAST_MS = 0.1
"""What is shorter is drawn as this: tokens that have come in one piece."""
Points = list[tuple[float, float]]


def page(judgement: Judgement, candidate: Sequence[Result], baseline: Sequence[Result]) -> str:
    """The whole document."""
    verdict = judgement.verdict
    sides = [("candidate", candidate), *([("baseline", baseline)] if baseline else [])]
    parts = [
        f"<h1>Load test: <span class={verdict.value}>{WORDS[verdict]}</span></h1>",
        f"<p>{html.escape(judgement.candidate or 'candidate')} · environment {html.escape(judgement.environment)} · "
        f"profile {html.escape(judgement.profile)} · {rounds(judgement)}</p>",
        _table(judgement),
        *(_lost(name, side) for name, side in sides),
        "<h2>Latency over time</h2><p>Of all rounds together; thin: of each.</p>",
        plot([_latency(name, side) for name, side in sides], x="seconds", y="first token p95, ms"),
        "<h2>Load over time</h2>",
        plot(_load(candidate[-1]), x="seconds, the last round of the candidate", y="number"),
    ]
    for title, figure in (("Time to first token", TTFT), ("Gap between tokens", GAP), ("Whole streams", WHOLE)):
        merged = [(name, _merged(side, figure)) for name, side in sides]
        parts.append(f"<h2>{title}</h2>")
        lines = [Line(name, _distribution(histogram)) for name, histogram in merged]
        parts.append(plot(lines, x="ms", y="% that took no longer", log_x=True))
    parts.append("<h2>Knee</h2>")
    parts.append(_knee(candidate))
    memory = [
        Line(name, [(each.at_s, each.resident_bytes / 2**20) for each in readings])
        for name, readings in candidate[-1].processes.items()
    ]
    if memory:
        parts += ["<h2>Memory</h2>", plot(memory, x="seconds, the last round of the candidate", y="resident MiB")]
    body = "\n".join(parts)
    head = "<meta charset=utf-8><meta name=viewport content='width=device-width'><title>Load test</title>"
    head += f"<style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>\n"


def _table(judgement: Judgement) -> str:
    head = "".join(f"<th>{each}" for each in HEADS)
    body = "".join(
        "<tr>" + "".join(f"<td{f' class={cell}' if cell == row[4] else ''}>{html.escape(cell)}" for cell in row)
        for row in rows(judgement)
    )
    return f"<table class=figures><tr>{head}{body}</table>"


def _lost(name: str, played: Sequence[Result]) -> str:
    """What was lost, by kind, each with what the first one has said; nothing where nothing was."""
    found: dict[str, Tally] = {}
    for result in played:
        for scenario, tally in result.scenarios.items():
            found.setdefault(scenario, Tally()).merge(tally)
    body = "".join(
        "<tr>"
        + "".join(f"<td>{html.escape(cell)}" for cell in (scenario, str(count), kind, tally.examples.get(kind, "")))
        for scenario, tally in sorted(found.items())
        for kind, count in tally.errors.most_common()
    )
    heads = "<tr><th>scenario<th>streams<th>kind<th>the first one said"
    return f"<h2>Lost by the {name}</h2><table>{heads}{body}</table>" if body else ""


def _merged(results: Iterable[Result], figure: str) -> Histogram:
    whole = Histogram()
    for result in results:
        for tally in result.scenarios.values():
            if figure in tally.histograms:
                whole.merge(tally.histograms[figure])
    return whole


def _distribution(histogram: Histogram) -> Points:
    points: dict[float, float] = {}
    below, count = 0, histogram.count
    for bucket in sorted(histogram.counts):
        below += histogram.counts[bucket]
        points[max(LEAST_MS, GROWTH ** (bucket + 1))] = 100 * below / count
    return list(points.items())


def _latency(name: str, played: Sequence[Result]) -> Line:
    each = [_over_time([result]) for result in played]
    return Line(name, _over_time(played), parts=each if len(each) > 1 else [])


def _over_time(played: Sequence[Result]) -> Points:
    """The p95 of first tokens by the second of the round, of rounds that are laid over each other."""
    slots: dict[int, Tally] = {}
    step = max(_step(result) for result in played)
    for result in played:
        began = min(result.timeline, default=0)
        for at, second in result.timeline.items():
            slots.setdefault((at - began) // step * step, Tally()).merge(second.tally)
    return [
        (at, tally.histograms[TTFT].quantile(0.95)) for at, tally in sorted(slots.items()) if TTFT in tally.histograms
    ]


def _load(result: Result) -> list[Line]:
    """Users and ended streams by the second."""
    began, step = min(result.timeline, default=0), _step(result)
    slots: dict[int, list[Second]] = {}
    for at, second in result.timeline.items():
        slots.setdefault((at - began) // step * step, []).append(second)
    found = sorted(slots.items())
    users = [(float(at), float(max(each.users for each in seconds))) for at, seconds in found]
    ended = [(float(at), sum(each.tally.streams for each in seconds) / step) for at, seconds in found]
    lost = [(at, sum(e.tally.streams - e.tally.complete for e in seconds) / step) for at, seconds in found]
    lines = [Line("users", users), Line("streams that ended, a second", ended)]
    return [*lines, Line("lost ones, a second", lost)] if any(number for _, number in lost) else lines


def _step(result: Result) -> int:
    """The seconds of a point."""
    length = max(result.timeline, default=0) - min(result.timeline, default=0) + 1
    return max(1, -(-length // POINTS))


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
