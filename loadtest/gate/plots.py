"""Plots as inline SVG: lines over time, distributions, steps of load."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 16, 40
COLOURS = ("#1f6feb", "#bc4c00", "#1a7f37", "#8250df")
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """A named line; `dots` draws its points. `parts` are drawn thin, in the same colour: what it sums up."""

    name: str
    points: Points
    dots: bool = False
    parts: Sequence[Points] = ()


def plot(lines: Sequence[Line], *, x: str, y: str, log_x: bool = False, mark_x: float | None = None) -> str:
    """One SVG element under its legend; axes are named `x` and `y`. `mark_x` draws an upright line."""
    shown = [
        Line(each.name, _known(each.points, log_x), each.dots, [_known(p, log_x) for p in each.parts]) for each in lines
    ]
    points = [point for line in shown for part in (line.points, *line.parts) for point in part]
    if not points:
        return "<p>Nothing was measured.</p>"
    across = _Scale([p[0] for p in points], _LEFT, WIDTH - _RIGHT, log=log_x)
    up = _Scale([0.0, *(p[1] for p in points)], HEIGHT - _BOTTOM, _TOP)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(f"{y} by {x}")}">']
    for value in up.ticks():
        at = up(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:,g}</text>')
    below = f'y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle"'
    parts += [f'<text x="{across(value):.1f}" {below}>{value:,g}</text>' for value in across.ticks()]
    if mark_x is not None:
        at = across(mark_x)
        parts.append(f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>')
    for index, line in enumerate(shown):
        colour = COLOURS[index % len(COLOURS)]
        for part in line.parts:
            drawn = " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in part)
            parts.append(f'<polyline class="part" stroke="{colour}" points="{drawn}"/>')
        places = [(across(a), up(b)) for a, b in line.points]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        parts.append(f'<polyline stroke="{colour}" points="{path}"/>')
        if line.dots:
            parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in places]
    parts.append(f'<text x="{(_LEFT + WIDTH) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{html.escape(x)}</text>')
    parts.append(
        f'<text transform="translate(14 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">{html.escape(y)}</text>'
    )
    return _legend(shown) + "".join(parts) + "</svg>"


def _legend(lines: Sequence[Line]) -> str:
    colours = [COLOURS[index % len(COLOURS)] for index in range(len(lines))]
    return (
        '<div class="legend">'
        + "".join(
            f'<span><i style="background:{colour}"></i>{html.escape(line.name)}</span>'
            for line, colour in zip(lines, colours, strict=True)
        )
        + "</div>"
    )


def _known(points: Points, log_x: bool) -> Points:
    return [point for point in points if all(map(math.isfinite, point)) and (point[0] > 0 or not log_x)]


class _Scale:
    """From values to places, even or logarithmic."""

    def __init__(self, values: Sequence[float], begin: float, end: float, *, log: bool = False) -> None:
        self._log, self._begin, self._end = log, begin, end
        self._least, self._most = min(values), max(values)
        if self._least == self._most:
            self._most = self._least + 1

    def __call__(self, value: float) -> float:
        least, most = self._least, self._most
        if self._log:
            value, least, most = (math.log(max(each, 1e-9)) for each in (value, least, most))
        return self._begin + (value - least) / ((most - least) or 1) * (self._end - self._begin)

    def ticks(self) -> list[float]:
        if self._log:
            first, last = math.floor(math.log10(self._least)), math.ceil(math.log10(self._most))
            found = [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 2, 5)]
            if len(shown := [each for each in found if self._least <= each <= self._most]) > 2:
                return shown[:16]
        step = 10.0 ** math.floor(math.log10((self._most - self._least) / 4))
        step *= next(each for each in (1, 2, 5, 10) if (self._most - self._least) / (step * each) <= 6)
        count = math.floor(self._most / step) - math.ceil(self._least / step) + 1
        return [round((math.ceil(self._least / step) + index) * step, 9) for index in range(count)]
