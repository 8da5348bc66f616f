"""A passage, and how long passages are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from embed_fn.parsing.document import ParsedDocument


@dataclass(frozen=True, slots=True)
class Chunk:
    """number: 0, 1, 2, …. text: the document's text from start to end, which are code points.

    headings: those above it, outermost first, and last, where it begins inside a table, the names of the columns. Embed
    them with the text. first_page and last_page: 0 where the type has no pages.
    """

    number: int
    text: str
    headings: Sequence[str]
    first_page: int
    last_page: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """In characters. target: passages end at the first good place behind it. most: none is longer. least: shorter ones
    are joined with what follows in their section. overlap: repeated where a paragraph has to be cut."""

    target: int = 900
    most: int = 1_400
    least: int = 200
    overlap: int = 100


CHUNK_LIMITS: Final = ChunkLimits()


def chunk(parsed: ParsedDocument, limits: ChunkLimits) -> list[Chunk]:
    """Cuts a whole document. The same document and limits give the same passages."""
    raise NotImplementedError
