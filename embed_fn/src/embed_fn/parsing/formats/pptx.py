"""PPTX: slides in their order, with titles, texts, tables and the speaker's notes. A slide is a page."""

from collections.abc import Iterator
from typing import Any, Final

from embed_fn.parsing.cleaning import one_line, tidy
from embed_fn.parsing.document import BlockKind, Piece
from embed_fn.parsing.formats.table import rows
from embed_fn.parsing.packed import Package
from embed_fn.parsing.source import Source

_A: Final = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P: Final = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_ID: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_TITLES: Final = ("title", "ctrTitle")
_FURNITURE: Final = ("dt", "ftr", "sldNum", "hdr", "sldImg")


def pieces(source: Source, package: Package, main: str) -> Iterator[Piece]:
    """main: the name of the presentation's part."""
    related = package.relations(main)
    for _, element in package.elements(main, "start", "end"):
        if _ == "end" and element.tag == f"{_P}sldId":
            kind, name = related.get(element.get(_ID, ""), ("", ""))
            if kind == "slide" and name in package:
                yield from _slide(source, package, name)


def _slide(source: Source, package: Package, name: str) -> Iterator[Piece]:
    page = source.next_page("slides")
    found = list(_shapes(package, name, page))
    titles = [piece for piece in found if piece.kind is BlockKind.HEADING]
    if not titles:
        titles = [Piece(BlockKind.HEADING, f"Slide {page}", 1, page)]
    elif not source.title:
        source.title = titles[0].text
    yield from titles
    yield from (piece for piece in found if piece.kind is not BlockKind.HEADING)
    for kind, notes in package.relations(name).values():
        if kind == "notesSlide" and notes in package:
            yield from _shapes(package, notes, page)


def _shapes(package: Package, name: str, page: int) -> Iterator[Piece]:
    for event, element in package.elements(name, "start", "end"):
        if event != "end":
            continue
        if element.tag == f"{_P}sp":
            placeholder = element.find(f"{_P}nvSpPr/{_P}nvPr/{_P}ph")
            kind = placeholder.get("type", "body") if placeholder is not None else ""
            if kind in _TITLES:
                title = one_line(" ".join(_text(paragraph) for paragraph in element.iter(f"{_A}p")))
                if title:
                    yield Piece(BlockKind.HEADING, title, 1, page)
            elif kind not in _FURNITURE:
                for paragraph in element.iter(f"{_A}p"):
                    if text := tidy(_text(paragraph)):
                        yield Piece(BlockKind.LIST if kind else BlockKind.PARAGRAPH, text, page=page)
            element.clear()
        elif element.tag == f"{_A}tbl":
            yield from rows(
                (
                    [one_line(" ".join(map(_text, cell.iter(f"{_A}p")))) for cell in line.iter(f"{_A}tc")]
                    for line in element.iter(f"{_A}tr")
                ),
                page,
            )
            element.clear()


def _text(paragraph: Any) -> str:
    return "".join(
        element.text or "" if element.tag == f"{_A}t" else "\n" for element in paragraph.iter(f"{_A}t", f"{_A}br")
    )
