"""CSV and its relatives: one table, read line by line."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from dormouse_runtime.workers.errors import RefusalError

from embed_fn.parsing.document import Piece
from embed_fn.parsing.encodings import whole_lines
from embed_fn.parsing.formats.table import rows
from embed_fn.parsing.source import Source

_DELIMITERS: Final = "\t;,|"
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"')
_LINE_CHARACTERS: Final = 16_000_000
_CELL_CHARACTERS: Final = 1_000_000


def delimiter(lines: list[str], *, named: bool) -> str:
    """What separates the cells in a file's first lines; empty: this is no table.

    named: the file's name says that it is one.
    """
    counted = [Counter(_QUOTED.sub("", line)) for line in lines if line.strip()]
    if not counted:
        return ""
    best = ""
    for candidate in _DELIMITERS:
        counts = Counter(count[candidate] for count in counted)
        count, times = counts.most_common(1)[0]
        even = count > 0 and times >= len(counted) * 0.8
        if even and (named or (len(counted) >= 3 and (candidate == "\t" or count >= 2))):
            return candidate
        if named and not best and any(counts):
            best = candidate
    return best or ("," if named else "")


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
