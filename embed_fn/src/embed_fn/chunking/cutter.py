"""Cuts a document into passages while it is still being read.

Headings open sections, and a passage stays within one, unless it would be very short. Paragraphs, list items and rows
are packed whole; only what does not fit into a passage at all is cut, at a sentence if it has any.
"""

from collections.abc import Iterable, Iterator

from embed_fn.chunking.chunk import CHUNK_LIMITS, Chunk, ChunkLimits
from embed_fn.chunking.sentences import cut_before, overlap_from
from embed_fn.parsing.document import BlockKind, ParsedDocument, Piece, separator

HEADING_CHARACTERS = 300
"""Of a heading, and of a table's columns, as context."""
_DEPTH = 9


def chunk(parsed: ParsedDocument, limits: ChunkLimits = CHUNK_LIMITS) -> list[Chunk]:
    """Cuts a whole document. The same document and limits give the same passages."""

    def pieces() -> Iterator[Piece]:
        end = 0
        for number, block in enumerate(parsed.blocks):
            text = parsed.text[block.start : block.end]
            yield Piece(block.kind, text, block.level, block.page, continues=number > 0 and block.start == end)
            end = block.end

    return list(cut(pieces(), limits))


def cut(pieces: Iterable[Piece], limits: ChunkLimits = CHUNK_LIMITS) -> Iterator[Chunk]:
    """The passages of a document's pieces, as soon as each is known."""
    cutter = Cutter(limits)
    for piece in pieces:
        yield from cutter.take(piece)
    yield from cutter.finish()


class Cutter:
    """Takes pieces in order and gives passages in order. Holds no more than one passage and one piece."""

    def __init__(self, limits: ChunkLimits = CHUNK_LIMITS) -> None:
        self._limits = limits
        self._number = 0
        self._offset = 0  # where the next separator begins
        self._before: Piece | None = None
        self._path: list[tuple[int, str]] = []  # level and text of the open headings
        self._columns = ""
        # The open passage.
        self._text = ""
        self._start = 0
        self._pages = (0, 0)
        self._headings: tuple[str, ...] = ()
        self._level = 0  # of the heading that it begins with; 0: with none
        self._only_headings = False

    @property
    def characters(self) -> int:
        """The length of the document's text so far."""
        return self._offset

    def take(self, piece: Piece) -> Iterator[Chunk]:
        """Adds a piece; gives the passages that end with it or before it."""
        between = separator(self._before, piece)
        start = self._offset + len(between)
        self._before = piece
        self._offset = start + len(piece.text)
        if piece.kind is BlockKind.HEADING:
            yield from self._heading(piece, between, start)
        elif piece.kind is BlockKind.HEADER:
            if len(self._text) >= self._limits.least and not self._only_headings:
                yield from self._close()
            self._columns = piece.text[:HEADING_CHARACTERS]
            yield from self._fill(piece, between, start)
        else:
            if piece.kind is not BlockKind.ROW:
                self._columns = ""
            yield from self._fill(piece, between, start)

    def finish(self) -> Iterator[Chunk]:
        """The last passage, if there is one."""
        yield from self._close()

    def _heading(self, piece: Piece, between: str, start: int) -> Iterator[Chunk]:
        level = min(max(piece.level, 1), _DEPTH)
        self._columns = ""
        belongs = self._level and level >= self._level
        short = len(self._text) < self._limits.least or self._only_headings
        fits = len(self._text) + len(between) + len(piece.text) <= self._limits.target
        if not (belongs and short and fits):
            yield from self._close()
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        yield from self._fill(piece, between, start)
        self._path.append((level, " ".join(piece.text[:HEADING_CHARACTERS].split())))

    def _fill(self, piece: Piece, between: str, start: int) -> Iterator[Chunk]:
        """Adds a piece's text to the open passage, or begins others with it."""
        limits, text = self._limits, piece.text
        whole = len(self._text) + len(between) + len(text)
        if self._text and whole > limits.target:
            # A short beginning, such as a heading, takes at least a part of what follows it.
            short = len(self._text) < (limits.target // 2 if self._only_headings else limits.least)
            row = piece.kind is BlockKind.ROW and len(text) <= limits.most
            if not short or (row and whole > limits.most):
                yield from self._close()
        position = 0
        while True:
            used = len(self._text) + len(between) if self._text else 0
            if used + len(text) - position <= limits.most:
                self._append(piece, between, start, position, len(text))
                return
            end = cut_before(text, position, limits.target - used)
            self._append(piece, between, start, position, end)
            yield from self._close()
            position = end if piece.kind is BlockKind.ROW else overlap_from(text, position, end, limits.overlap)
            while position < len(text) and text[position].isspace():
                position += 1

    def _append(self, piece: Piece, between: str, start: int, first: int, end: int) -> None:
        part = piece.text[first:end]
        is_heading = piece.kind is BlockKind.HEADING
        if self._text:
            self._text += between + part
            self._pages = (self._pages[0] or piece.page, piece.page or self._pages[1])
            self._only_headings = self._only_headings and is_heading
            return
        self._text = part.lstrip()
        self._start = start + first + len(part) - len(self._text)
        self._pages = (piece.page, piece.page)
        self._headings = tuple(text for _, text in self._path)
        if self._columns and piece.kind is BlockKind.ROW:
            self._headings += (self._columns,)
        self._level = min(max(piece.level, 1), _DEPTH) if is_heading else 0
        self._only_headings = is_heading

    def _close(self) -> Iterator[Chunk]:
        text = self._text.rstrip()
        if text:
            end = self._start + len(text)
            yield Chunk(self._number, text, self._headings, *self._pages, self._start, end)
            self._number += 1
        self._text = ""
