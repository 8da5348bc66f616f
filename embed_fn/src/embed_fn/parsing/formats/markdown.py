"""Markdown: headings, paragraphs, lists, tables and code, as its writer meant them; no HTML is made of it."""

import re
from collections.abc import Iterator
from typing import Final

from embed_fn.parsing.cleaning import one_line
from embed_fn.parsing.document import BlockKind, Piece
from embed_fn.parsing.encodings import lines
from embed_fn.parsing.formats.plain import PIECE_CHARACTERS, Paragraph
from embed_fn.parsing.source import Source

_HEADING: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE: Final = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM: Final = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])\s+\S")
_RULE: Final = re.compile(r" {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$")
_DASHES: Final = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_CELLS: Final = re.compile(r"(?<!\\)\|")
# A longer line is no line of Markdown's; backtracking over it would take long.
_LINE_CHARACTERS: Final = 4_096


def pieces(source: Source) -> Iterator[Piece]:
    """The parts of the text. The first heading of the first level is the title."""
    reader = _Reader(source)
    goes_on = False
    for number, (line, more) in enumerate(lines(source, PIECE_CHARACTERS)):
        if goes_on or more or len(line) > _LINE_CHARACTERS:
            yield from reader.long_line(line, starts=not goes_on)
        else:
            yield from reader.line(line, first=number == 0)
        goes_on = more
    yield from reader.end()


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._open = Paragraph()
        self._lines = 0  # of the open paragraph
        self._last = ""  # its last line
        self._is_list = False
        self._fence = ""  # that ends the open code
        self._front_matter = False
        self._in_table = False

    def line(self, line: str, *, first: bool) -> Iterator[Piece]:
        if self._fence:
            yield from self._code(line)
        elif self._front_matter or (first and line.strip() == "---"):
            self._read_front_matter(line, first=first)
        elif not line.strip():
            yield from self.end()
        elif self._in_table and "|" in line:
            yield _row(BlockKind.ROW, line)
        elif (heading := _HEADING.match(line)) is not None:
            yield from self.end()
            yield from self._heading(heading[2] or "", len(heading[1]))
        elif (fence := _FENCE.match(line)) is not None:
            yield from self.end()
            self._fence = fence[1]
            self._open = Paragraph(BlockKind.CODE)
        elif self._lines == 1 and not self._is_list and _UNDERLINE.match(line):
            self._open, self._lines = Paragraph(), 0
            yield from self._heading(self._last, 1 if "=" in line else 2)
        elif self._lines == 1 and "|" in self._last and "|" in line and _DASHES.match(line):
            self._open, self._lines = Paragraph(), 0
            self._in_table = True
            yield _row(BlockKind.HEADER, self._last)
        elif _RULE.match(line):
            yield from self.end()
        else:
            yield from self._text(line)

    def long_line(self, line: str, *, starts: bool) -> Iterator[Piece]:
        yield from self._open.add(line, between="\n" if starts else "")
        self._lines += 2

    def end(self) -> Iterator[Piece]:
        """Ends the open paragraph."""
        yield from self._open.end()
        self._open, self._lines, self._is_list, self._in_table, self._fence = Paragraph(), 0, False, False, ""

    def _text(self, line: str) -> Iterator[Piece]:
        item = _ITEM.match(line) is not None
        if item or self._in_table:
            yield from self.end()
        if item:
            self._open, self._is_list = Paragraph(BlockKind.LIST), True
        line = line.strip()
        yield from self._open.add(line)
        self._lines += 1
        self._last = line

    def _code(self, line: str) -> Iterator[Piece]:
        if line.strip().startswith(self._fence) and not line.strip().strip(self._fence[0]):
            yield from self.end()
        else:
            yield from self._open.add(line.rstrip())

    def _heading(self, text: str, level: int) -> Iterator[Piece]:
        text = one_line(text)
        if text:
            if level == 1 and not self._source.title:
                self._source.title = text
            yield Piece(BlockKind.HEADING, text, level)

    def _read_front_matter(self, line: str, *, first: bool) -> None:
        """Of what tools keep above a text only its title is of use."""
        self._front_matter = first or line.strip() not in ("---", "...")
        if line.startswith("title:"):
            self._source.title = one_line(line.removeprefix("title:")).strip("\"'")


def _row(kind: BlockKind, line: str) -> Piece:
    cells = (cell.strip().replace("\\|", "|") for cell in _CELLS.split(line.strip().strip("|")))
    return Piece(kind, " | ".join(cells).strip() or "|")
