"""Finds tables in a text: lines of values between commas, semicolons or tabs."""

from __future__ import annotations

import re

_PROSE = re.compile(r"[.!?] [A-Z]|[.!?]$")


def table_spans(text: str) -> list[tuple[int, int]]:
    """Where tables of at least two lines stand, in order. A heading may follow a colon in its line."""
    spans: list[tuple[int, int]] = []
    start, separator, count, rows = 0, "", 0, 0
    place = 0
    for line in [*text.split("\n"), ""]:
        if rows and line.count(separator) == count and not _PROSE.search(line):
            rows += 1
        else:
            if rows > 1:
                spans.append((start, place - 1))
            start, separator, count = _heading(line, place)
            rows = 1 if count else 0
        place += len(line) + 1
    return spans


def header_of(table: str) -> list[str]:
    """The names of a table's columns."""
    line = table.strip().partition("\n")[0]
    separator = max(",;\t", key=line.count)
    return [cell.strip().strip('"') for cell in line.split(separator)] if line.count(separator) else []


def _heading(line: str, place: int) -> tuple[int, str, int]:
    introduced = line.rfind(": ") + 2
    start = introduced if introduced > 1 else 0
    cells = line[start:]
    separator = max(",;\t", key=cells.count)
    # The names of columns are short; a sentence with commas is none.
    is_heading = all(0 < len(cell.split()) <= 3 for cell in cells.split(separator)) and not cells.startswith("```")
    return place + start, separator, cells.count(separator) if is_heading else 0
