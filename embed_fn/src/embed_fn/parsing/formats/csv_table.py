"""CSV and its relatives: one table, read line by line."""

import csv
from collections import Counter
from collections.abc import Iterator
from typing import Final

from dormouse_runtime.workers.errors import RefusalError

from embed_fn.parsing.document import Piece
from embed_fn.parsing.encodings import whole_lines
from embed_fn.parsing.formats.table import rows
from embed_fn.parsing.source import Source

_DELIMITERS: Final = "\t;,|"
_LINE_CHARACTERS: Final = 16_000_000
_CELL_CHARACTERS: Final = 1_000_000


def delimiter(lines: list[str], *, named: bool) -> str:
    """What separates the cells in a file's first lines; empty: this is no table.

    named: the file's name says that it is one.
    """
    best = ""
    for candidate in _DELIMITERS:
        lengths = _lengths(lines, candidate)
        if not lengths:
            continue
        length, times = lengths.most_common(1)[0]
        even = length > 1 and times >= lengths.total() * 0.8
        if even and (named or (lengths.total() >= 3 and (candidate == "\t" or length >= 3))):
            return candidate
        if named and not best and max(lengths) > 1:
            best = candidate
    return best or ("," if named else "")


def _lengths(lines: list[str], separated_by: str) -> Counter[int]:
    """How many rows there are of each length."""
    csv.field_size_limit(_CELL_CHARACTERS)
    try:
        return Counter(len(row) for row in csv.reader((f"{line}\n" for line in lines), delimiter=separated_by) if row)
    except csv.Error:
        return Counter()


def pieces(source: Source, separated_by: str) -> Iterator[Piece]:
    """The rows; the first may name the columns."""
    csv.field_size_limit(_CELL_CHARACTERS)
    lines = (line + "\n" for line in whole_lines(source, _LINE_CHARACTERS))
    reader = csv.reader(lines, delimiter=separated_by)

    def cells() -> Iterator[list[str]]:
        try:
            for record in reader:
                yield [cell if cell.isalnum() else " ".join(cell.split()) for cell in record]
        except csv.Error as error:
            raise RefusalError(
                f"The table cannot be read around line {reader.line_num}: a quoted cell does not end. "
                "Correct it and upload the file again."
            ) from error

    yield from rows(cells())
