"""HTML: what a reader sees of a page: headings, paragraphs, lists, tables and code, without its navigation."""

import re
from collections.abc import Iterator
from typing import Any, Final

from selectolax.lexbor import LexborHTMLParser

from embed_fn.parsing.cleaning import clean, one_line, tidy
from embed_fn.parsing.document import BlockKind, Piece
from embed_fn.parsing.encodings import whole
from embed_fn.parsing.formats.table import names_columns, row
from embed_fn.parsing.source import Source, too_large

_MOST_MB: Final = 8
_UNSEEN: Final = {
    "script", "style", "template", "noscript", "head", "nav", "iframe", "object", "svg", "canvas", "audio",
    "video", "button", "select", "dialog",
}  # fmt: skip
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
_BLOCKS: Final = {
    *_HEADINGS,
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "html", "legend", "li", "main", "ol",
    "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
}  # fmt: skip
_SPACES: Final = re.compile(r"\s+")


def pieces(source: Source) -> Iterator[Piece]:
    """The page's title is the document's."""
    if source.size > _MOST_MB * 1_000_000:
        raise too_large("An HTML file, and this one,", _MOST_MB)
    page = LexborHTMLParser(whole(source))
    title = page.css_first("title")
    if title is not None:
        source.title = one_line(title.text())[:1000]
    if page.body is not None:
        yield from _Reader().read(page.body)


class _Reader:
    """Walks the tree without recursion: a page may be nested as deeply as it likes."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._kinds: list[tuple[BlockKind, int]] = [(BlockKind.PARAGRAPH, 0)]
        self._cells: list[str] | None = None  # of the row that is open
        self._tables = 0
        self._row_is_header = False
        self._first_row = False

    def read(self, root: Any) -> Iterator[Piece]:
        node = root.first_child
        while node is not None:
            deeper = None
            if node.is_text_node:
                self._add(node.text(deep=False) or "")
            elif node.is_element_node and not self._is_unseen(node):
                yield from self._enter(node)
                deeper = node.first_child
                if deeper is None:
                    yield from self._leave(node)
            if deeper is not None:
                node = deeper
                continue
            while node.next is None:
                node = node.parent
                if node is None or node.mem_id == root.mem_id:
                    yield from self._end_block()
                    return
                yield from self._leave(node)
            node = node.next
        yield from self._end_block()

    def _add(self, text: str) -> None:
        """Line ends in a page's source are spaces, except where its writer has formatted the text."""
        self._parts.append(text if self._kinds[-1][0] is BlockKind.CODE else _SPACES.sub(" ", text))

    @staticmethod
    def _is_unseen(node: Any) -> bool:
        if node.tag in _UNSEEN:
            return True
        attributes = node.attributes
        return "hidden" in attributes or attributes.get("aria-hidden") == "true"

    def _enter(self, node: Any) -> Iterator[Piece]:
        tag = node.tag
        if tag == "br":
            self._parts.append("\n")
        elif tag == "img":
            self._parts.append(f" {node.attributes.get('alt') or ''} ")
        elif tag in _BLOCKS:
            if self._cells is None or tag in ("td", "th", "tr", "table"):
                yield from self._end_block()
            else:
                self._parts.append(" ")
            if tag in _HEADINGS:
                self._kinds.append((BlockKind.HEADING, _HEADINGS[tag]))
            elif tag == "li":
                self._kinds.append((BlockKind.LIST, 0))
            elif tag == "pre":
                self._kinds.append((BlockKind.CODE, 0))
            elif tag == "table":
                self._tables += 1
                self._first_row = True
            elif tag == "tr" and self._tables == 1:
                self._cells, self._row_is_header = [], True
            elif tag == "td" and self._cells is not None:
                self._row_is_header = False

    def _leave(self, node: Any) -> Iterator[Piece]:
        tag = node.tag
        if tag not in _BLOCKS:
            return
        if self._cells is not None and tag in ("td", "th") and self._tables == 1:
            self._cells.append(one_line("".join(self._parts)))
            self._parts = []
        elif tag == "tr" and self._tables == 1:
            yield from self._end_row()
        elif self._cells is not None:
            self._parts.append(" ")
        else:
            yield from self._end_block()
        if tag == "table":
            self._tables -= 1
        elif (tag in _HEADINGS or tag in ("li", "pre")) and len(self._kinds) > 1:
            self._kinds.pop()

    def _end_row(self) -> Iterator[Piece]:
        cells, self._cells, self._parts = self._cells or [], None, []
        header = self._first_row and len(cells) > 1 and (self._row_is_header or names_columns(cells))
        piece = row(cells, BlockKind.HEADER if header else BlockKind.ROW)
        if piece is not None:
            self._first_row = False
            yield piece

    def _end_block(self) -> Iterator[Piece]:
        if self._cells is not None:
            return
        kind, level = self._kinds[-1]
        text, self._parts = "".join(self._parts), []
        text = clean(text).strip("\n").rstrip() if kind is BlockKind.CODE else tidy(text)
        if text.strip():
            yield Piece(kind, one_line(text) if kind is BlockKind.HEADING else text, level)
