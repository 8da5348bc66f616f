"""A judgement for programs and for people: JSON and Markdown."""

from __future__ import annotations

import math
from typing import Any

from loadtest.gate.budget import KNEE, LOST
from loadtest.gate.judge import Finding, Judgement, Verdict

WORDS = {
    Verdict.PASSED: "passed",
    Verdict.UNDECIDED: "not decided: more rounds are needed",
    Verdict.REFUSED: "refused",
}


def as_json(judgement: Judgement) -> dict[str, Any]:
    """Plain types."""
    return {
        "verdict": judgement.verdict.value,
        "environment": judgement.environment,
        "profile": judgement.profile,
        "candidate": judgement.candidate,
        "baseline": judgement.baseline,
        "rounds": judgement.rounds,
        "findings": [_finding(finding) for finding in judgement.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    interval, limit = finding.interval, finding.limit
    known = [interval.estimate, interval.low, interval.high] if interval else [math.nan] * 3
    numbers = dict(zip(("estimate", "low", "high"), (x if math.isfinite(x) else None for x in known), strict=True))
    return {
        "of": finding.of,
        "figure": finding.figure,
        "relative": finding.relative,
        "verdict": finding.verdict.value,
        **numbers,
        "at_most": limit.at_most,
        "surely_below": limit.surely_below,
        "note": finding.note,
    }


def rows(judgement: Judgement) -> list[tuple[str, ...]]:
    """What the tables show: what, found, bounds, limit, verdict, note. The worst come first."""
    order = [Verdict.REFUSED, Verdict.UNDECIDED, Verdict.PASSED]
    found: list[tuple[str, ...]] = []
    for finding in sorted(judgement.findings, key=lambda each: order.index(each.verdict)):
        what = " ".join(filter(None, [finding.of, finding.figure, "to baseline" if finding.relative else ""]))
        interval, limit = finding.interval, finding.limit
        known = interval is not None and math.isfinite(interval.high)
        bounds = f"{_text(finding, interval.low)} … {_text(finding, interval.high)}" if interval and known else "?"
        wanted = f"{'at least' if finding.figure == KNEE else 'at most'} {_text(finding, limit.at_most)}"
        if limit.surely_below is not None:
            wanted += f", surely below {_text(finding, limit.surely_below)}"
        estimate = _text(finding, interval.estimate) if interval else "?"
        found.append((what, estimate, bounds, wanted, finding.verdict.value, finding.note))
    return found


HEADS = ("figure", "found", "bounds", "limit", "verdict", "from")


def markdown(judgement: Judgement) -> str:
    """A summary for a pull request or a job's page."""
    against = (
        f" against {judgement.baseline or 'the last release'}" if _relative(judgement) else ", nothing to compare with"
    )
    lines = [
        f"# Load test: {WORDS[judgement.verdict]}",
        "",
        f"{judgement.candidate or 'candidate'}{against}; environment {judgement.environment}, profile "
        f"{judgement.profile}, {rounds(judgement)}.",
        "",
        "| " + " | ".join(HEADS) + " |",
        "|---|---:|---:|---|---|---|",
    ]
    for row in rows(judgement):
        marked = [f"**{cell}**" if cell in (Verdict.REFUSED, Verdict.UNDECIDED) else cell for cell in row]
        lines.append("| " + " | ".join(marked) + " |")
    return "\n".join(lines) + "\n"


def rounds(judgement: Judgement) -> str:
    """How many, in words."""
    return f"{judgement.rounds} round{'s' if judgement.rounds > 1 else ''}"


def _relative(judgement: Judgement) -> bool:
    return any(finding.relative for finding in judgement.findings)


def _text(finding: Finding, value: float) -> str:
    if not math.isfinite(value) or value > 1e8 or (finding.figure == KNEE and value < 1e-9):
        return "?"
    if finding.figure == KNEE:
        # Judged upside down, so that less is better; shown as it is.
        return f"{1 / value:.0f} users"
    if finding.figure == LOST:
        return f"{value * 100:.2f} %"
    if finding.relative:
        return f"{value:.3f}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"
