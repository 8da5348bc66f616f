"""DOCX: headings by their styles, paragraphs, lists, tables row by row, footnotes at the end.

Read part by part from the XML: a document of any length takes little memory. Pages are not in such a file.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from embed_fn.parsing.cleaning import one_line, tidy
from embed_fn.parsing.document import BlockKind, Piece
from embed_fn.parsing.formats.table import names_columns, row
from embed_fn.parsing.packed import Package, release
from embed_fn.parsing.source import Source

_W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK: Final = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_HEADING_NAME: Final = re.compile(r"heading (\d)$", re.IGNORECASE)
_VALUE: Final = f"{_W}val"
_NOTES: Final = ("footnotes", "endnotes")


def pieces(source: Source, package: Package, main: str) -> Iterator[Piece]:
    """main: the name of the document's part."""
    related = dict(package.relations(main).values())
    levels = _heading_styles(package, related["styles"]) if related.get("styles", "") in package else {}
    yield from _body(source, package, main, levels)
    for kind in _NOTES:
        if related.get(kind, "") in package:
            yield from _body(source, package, related[kind], {})


def _heading_styles(package: Package, name: str) -> dict[str, int]:
    """Levels by the ids of styles; 0 is the document's title."""
    levels = {}
    for _, element in package.elements(name, "start", "end"):
        if element.tag == f"{_W}style" and len(element):
            called = element.find(f"{_W}name")
            called = called.get(_VALUE, "") if called is not None else ""
            outline = element.find(f"{_W}pPr/{_W}outlineLvl")
            match = _HEADING_NAME.match(called)
            if called.lower() == "title":
                levels[element.get(f"{_W}styleId", "")] = 0
            elif match is not None:
                levels[element.get(f"{_W}styleId", "")] = int(match[1])
            elif outline is not None and outline.get(_VALUE, "").isdigit() and int(outline.get(_VALUE)) < 9:
                levels[element.get(f"{_W}styleId", "")] = int(outline.get(_VALUE)) + 1
    return levels


def _body(source: Source, package: Package, name: str, levels: dict[str, int]) -> Iterator[Piece]:
    paragraphs = tables = 0
    first_row = True
    for event, element in package.elements(name, "start", "end"):
        tag = element.tag
        opened = 1 if event == "start" else -1
        if tag == f"{_W}p":
            paragraphs += opened
            if event == "end" and not paragraphs and not tables:
                piece = _paragraph(source, element, levels)
                if piece is not None:
                    yield piece
                release(element)
        elif tag == f"{_W}tbl":
            tables += opened
            if event == "start" and tables == 1:
                first_row = True
            if event == "end" and not tables:
                release(element)
        elif tag == f"{_W}tr" and event == "end" and tables == 1:
            cells = [
                one_line(" ".join(_text(p) for p in cell.iter(f"{_W}p"))) for cell in element.iterchildren(f"{_W}tc")
            ]
            kind = BlockKind.HEADER if first_row and len(cells) > 1 and names_columns(cells) else BlockKind.ROW
            piece = row(cells, kind)
            if piece is not None:
                first_row = False
                yield piece
            release(element)


def _paragraph(source: Source, element: Any, levels: dict[str, int]) -> Piece | None:
    text = tidy(_text(element))
    if not text:
        return None
    properties = element.find(f"{_W}pPr")
    style = outline = numbered = None
    if properties is not None:
        style = properties.find(f"{_W}pStyle")
        outline = properties.find(f"{_W}outlineLvl")
        numbered = properties.find(f"{_W}numPr")
    level = levels.get(style.get(_VALUE, "")) if style is not None else None
    if level is None and outline is not None and outline.get(_VALUE, "") in tuple("012345678"):
        level = int(outline.get(_VALUE)) + 1
    if level is not None:
        text = one_line(text)
        if level <= 1 and not source.title:
            source.title = text
        return Piece(BlockKind.HEADING, text, max(level, 1))
    return Piece(BlockKind.LIST if numbered is not None else BlockKind.PARAGRAPH, text)


def _text(paragraph: Any) -> str:
    """What is shown of a paragraph: not what has been deleted, nor what only old programs would show."""
    parts = []
    for element in paragraph.iter(f"{_W}t", f"{_W}tab", f"{_W}br", f"{_W}cr", f"{_W}noBreakHyphen"):
        if any(parent.tag == _FALLBACK for parent in element.iterancestors(_FALLBACK)):
            continue
        if element.tag == f"{_W}t":
            parts.append(element.text or "")
        elif element.tag == f"{_W}noBreakHyphen":
            parts.append("-")
        elif element.getparent().tag == f"{_W}r":  # a tab stop of a style is called a tab, too
            parts.append("\t" if element.tag == f"{_W}tab" else "\n")
    return "".join(parts)
