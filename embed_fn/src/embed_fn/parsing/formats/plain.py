"""Plain text: paragraphs between empty lines."""

from collections.abc import Iterator
from typing import Final

from embed_fn.parsing.document import BlockKind, Piece
from embed_fn.parsing.encodings import lines
from embed_fn.parsing.source import Source

PIECE_CHARACTERS: Final = 32_768
"""A longer paragraph comes in several pieces."""


def pieces(source: Source) -> Iterator[Piece]:
    """The text, with its lines and their indentation as they are."""
    paragraph = Paragraph()
    goes_on = False
    for line, more in lines(source, PIECE_CHARACTERS):
        if goes_on:
            yield from paragraph.add(line, between="")
        elif line.strip():
            yield from paragraph.add(line.rstrip() if not more else line)
        else:
            yield from paragraph.end()
        goes_on = more
    yield from paragraph.end()


class Paragraph:
    """Lines that belong together, given as pieces of a bounded length."""

    def __init__(self, kind: BlockKind = BlockKind.PARAGRAPH) -> None:
        self._kind = kind
        self._parts: list[str] = []
        self._length = 0
        self._continues = False

    def add(self, line: str, between: str = "\n") -> Iterator[Piece]:
        """Adds a line; gives a piece where there is enough for one."""
        if self._length + len(line) > PIECE_CHARACTERS:
            yield from self._give()
            self._continues = True
        if self._parts or self._continues:
            line = between + line
        self._parts.append(line)
        self._length += len(line)

    def end(self) -> Iterator[Piece]:
        """What is left of it; the next line begins another."""
        yield from self._give()
        self._continues = False

    def _give(self) -> Iterator[Piece]:
        text = "".join(self._parts)
        self._parts, self._length = [], 0
        if not self._continues:
            text = text.lstrip()
        if text.strip():
            yield Piece(self._kind, text, continues=self._continues)
