"""Tables and numbers as a model reads them."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import pandas as pd

_MOST_ROWS: Final = 50
_MOST_COLUMNS: Final = 20
_LONGEST_CELL: Final = 80


def number(value: float) -> str:
    """Four digits behind the point, or six significant ones for small numbers."""
    if not math.isfinite(value):
        return "" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    if abs(value) >= 1e15:
        return f"{value:.6g}"
    if abs(value) >= 1:
        return f"{value:.4f}".rstrip("0").rstrip(".")
    return f"{value:.6g}"


def cell(value: Any) -> str:
    """Any value in one line; "" for a missing one."""
    if value is None or value is pd.NA:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return number(value)
    text = " ".join(str(value).split())
    text = text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 1] + "…"
    return text.replace("|", "\\|")


def markdown(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table of Markdown."""
    lines = [f"| {' | '.join(map(cell, head))} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(map(cell, row))} |" for row in rows]
    return "\n".join(lines)


def table(frame: pd.DataFrame) -> str:
    """The first rows and columns, and how many are left out."""
    head = list(frame.columns[:_MOST_COLUMNS])
    shown = frame.iloc[:_MOST_ROWS, :_MOST_COLUMNS]
    columns = [shown[name].astype(object).tolist() for name in head]
    text = markdown(head, zip(*columns, strict=True))
    left = len(frame) - len(shown), len(frame.columns) - len(head)
    if left[0] > 0:
        text += f"\n({left[0]} more rows)"
    if left[1] > 0:
        text += f"\n({left[1]} more columns: {', '.join(map(str, frame.columns[_MOST_COLUMNS:]))[:500]})"
    return text
