"""Rows of cells as text."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from embed_fn.parsing.document import BlockKind, Piece

_NUMBER: Final = re.compile(r"[\s\d.,:/%€$£+-]+$")  # numbers, amounts, dates


def row(cells: Sequence[str], kind: BlockKind = BlockKind.ROW, page: int = 0) -> Piece | None:
    """None: all of them are empty. Cells: cleaned, on one line."""
    text = " | ".join(cells).strip(" |")
    return Piece(kind, text, page=page) if text else None


def names_columns(cells: Sequence[str]) -> bool:
    """Whether a table's first row names its columns: short, different texts, no numbers."""
    filled = [cell for cell in cells if cell]
    return (
        len(filled) >= max(1, len(cells) - 1)
        and len(set(filled)) == len(filled)
        and not any(len(cell) > 100 or _NUMBER.match(cell) for cell in filled)
    )


def rows(table: Iterable[Sequence[str]], page: int = 0) -> Iterator[Piece]:
    """A table's pieces. Its first row that is not empty may be its header."""
    first = True
    for cells in table:
        kind = BlockKind.HEADER if first and len(cells) > 1 and names_columns(cells) else BlockKind.ROW
        piece = row(cells, kind, page)
        if piece is not None:
            first = False
            yield piece
