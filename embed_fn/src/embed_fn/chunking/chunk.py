"""A passage, and how long passages are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


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
    """In characters. target: passages are filled up to it. most: none is longer. least: shorter ones are joined with
    what follows, where that belongs to them. overlap: repeated where a paragraph has to be cut."""

    target: int = 900
    most: int = 1_400
    least: int = 200
    overlap: int = 100

    def __post_init__(self) -> None:
        if not (0 <= self.overlap <= self.target // 4 and 0 <= self.least <= self.target // 2):
            raise ValueError("overlap is at most a quarter of the target, least at most half of it")
        if not 8 <= self.target <= self.most - self.least - 2:
            raise ValueError("target is at least 8, and most holds target, least, and a line between them")


CHUNK_LIMITS: Final = ChunkLimits()
