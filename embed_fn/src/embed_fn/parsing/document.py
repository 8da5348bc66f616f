"""What a file becomes: one text, and where its parts are in it. Offsets are code points, ends exclusive."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class BlockKind(StrEnum):
    """ROW: one of a table. HEADER: the row, or the rows, that name a table's columns. LIST: one item of a list."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST = "list"
    CODE = "code"
    HEADER = "header"
    ROW = "row"


@dataclass(slots=True)
class Piece:
    """A part of a file as a parser finds it. text: cleaned, without white space at its ends, never empty.

    continues: the piece goes on where the one before it ended, without a line end between them.
    """

    kind: BlockKind
    text: str
    level: int = 0
    page: int = 0
    continues: bool = False


def separator(before: Piece | None, piece: Piece) -> str:
    """What is between two pieces in the document's text."""
    if before is None or piece.continues:
        return ""
    if piece.kind is BlockKind.ROW and before.kind in (BlockKind.ROW, BlockKind.HEADER):
        return "\n"
    if piece.kind is BlockKind.LIST and before.kind is BlockKind.LIST:
        return "\n"
    return "\n\n"


@dataclass(frozen=True, slots=True)
class Block:
    """level: of a heading, 1 is the outermost. page: 1 for the first; 0 where the type has no pages."""

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    page: int = 0


@dataclass(frozen=True, slots=True)
class PageSpan:
    """Where the text of a page, a slide or a sheet is."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A whole document in memory. Blocks are in order and do not overlap; only line ends are between them.

    title: empty where the file names none.
    """

    media_type: str
    title: str
    text: str
    blocks: Sequence[Block]
    pages: Sequence[PageSpan]
