"""PDF: the text page by page. Lines become paragraphs again; larger or bold lines become headings."""

import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from dormouse_runtime.workers.errors import RefusalError
from pypdf import PdfReader, overwrite_configuration
from pypdf.errors import DependencyError, LimitReachedError, PyPdfError

from embed_fn.parsing.cleaning import one_line, without_ligatures
from embed_fn.parsing.document import BlockKind, Piece
from embed_fn.parsing.packed import encrypted
from embed_fn.parsing.source import Source

# What the library raises on files that are not as they should be.
_FAILURES: Final = (
    PyPdfError, ArithmeticError, AssertionError, AttributeError, DependencyError, LookupError, NotImplementedError,
    OSError, RecursionError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip
_FORGET_AFTER: Final = 50  # pages
_LARGE: Final = ((1.7, 1), (1.35, 2), (1.15, 3))  # times the usual size: level
_HEADING_CHARACTERS: Final = 150
_LIST_ITEM: Final = re.compile(r"(?:[\u2022\u25aa\u25cf\u2023\u2043\u2013*-]|\d{1,3}[.)]|\(?[a-z]\))\s+\S")
_SENTENCE_END: Final = (".", "!", "?", ":", ";", "\u3002", '"', "\u201d", ")")
_SPLIT_WORD: Final = re.compile(r"[^\W\d_]-$")


class _Line:
    __slots__ = ("bold", "size", "text")

    def __init__(self, text: str, size: float, *, bold: bool) -> None:
        self.text, self.size, self.bold = text, size, bold


def pieces(source: Source) -> Iterator[Piece]:
    """The paragraphs of all pages. A page that cannot be read is an error: nothing is left out silently."""
    limits = source.limits
    overwrite_configuration(
        page_tree_maximum_entries=max(2 * limits.pages, 1_000),
        page_tree_maximum_page_entries=40 * limits.pages,
        zlib_maximum_output_length=min(limits.unpacked_bytes, 40_000_000),
        lzw_maximum_output_length=20_000_000,
        run_length_maximum_output_length=20_000_000,
        array_based_stream_maximum_output_length=20_000_000,
        stream_decoding_work_maximum_length=100_000_000,
    )
    reader, count = _open(source)
    if count > limits.pages:
        raise _too_many_pages(limits.pages)
    sizes: Counter[float] = Counter()  # characters of each size so far
    found = False
    for index in range(count):
        page = source.next_page()
        for piece in _paragraphs(_lines(reader, index, page, sizes), sizes, page):
            found = True
            yield piece
        if page % _FORGET_AFTER == 0:
            reader.resolved_objects.clear()
    if not found:
        raise RefusalError(
            "The PDF holds no text, only pictures of it. Run text recognition (OCR) over it and upload the result."
            if count
            else "The PDF has no pages."
        )


def _open(source: Source) -> tuple[PdfReader, int]:
    try:
        reader = PdfReader(source.file, strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise encrypted()
        count = reader.get_num_pages()
        information = reader.metadata
        title = information.title if information is not None else None
    except LimitReachedError as error:
        if "page tree" in str(error).lower():
            raise _too_many_pages(source.limits.pages) from error
        raise _too_much("The PDF") from error
    except _FAILURES as error:
        raise RefusalError(
            "The PDF is damaged or was cut off. Print it to a new PDF, or save it anew, and upload that."
        ) from error
    source.title = one_line(title)[:1000] if isinstance(title, str) else ""
    return reader, count


def _too_many_pages(most: int) -> RefusalError:
    return RefusalError(f"The PDF has more than {most:,} pages. Split it into several files and upload those.")


def _too_much(what: str) -> RefusalError:
    return RefusalError(f"{what} unpacks to more than may be read. Print it to a new PDF and upload that.")


def _lines(reader: PdfReader, index: int, page: int, sizes: Counter[float]) -> list[_Line]:
    """A page's lines with the size of their largest letters. sizes: counts them."""
    runs: list[tuple[str, float, bool]] = []

    def note(text: str, matrix: Any, text_matrix: Any, font: Any, size: Any) -> None:
        if text:
            scale = (text_matrix[2] ** 2 + text_matrix[3] ** 2) ** 0.5 * (matrix[2] ** 2 + matrix[3] ** 2) ** 0.5
            bold = font is not None and "bold" in str(font.get("/BaseFont", "")).lower()
            runs.append((text, round(float(size) * scale, 1), bold))

    try:
        reader.pages[index].extract_text(visitor_text=note)
    except LimitReachedError as error:
        raise _too_much(f"Page {page} of the PDF") from error
    except _FAILURES as error:
        raise RefusalError(
            f"Page {page} of the PDF cannot be read. Print the file to a new PDF, or leave the page out, "
            "and upload that."
        ) from error
    lines = [_Line("", 0.0, bold=True)]
    for text, size, bold in runs:
        for number, part in enumerate(text.split("\n")):
            if number:
                lines.append(_Line("", 0.0, bold=True))
            if part.strip():
                line = lines[-1]
                line.size = max(line.size, size)
                line.bold = line.bold and bold
                sizes[size] += len(part)
            lines[-1].text += part
    for line in lines:
        line.text = one_line(without_ligatures(line.text))
    return lines


def _paragraphs(lines: list[_Line], sizes: Counter[float], page: int) -> Iterator[Piece]:
    usual = sizes.most_common(1)[0][0] if sizes else 0.0
    lengths = sorted(len(line.text) for line in lines if line.text)
    wide = lengths[int(len(lengths) * 0.9)] if lengths else 0
    text, kind, level, last = "", BlockKind.PARAGRAPH, 0, 0
    for line in [*lines, _Line("", 0.0, bold=False)]:
        heading = _level(line, usual) if line.text else 0
        item = not heading and _LIST_ITEM.match(line.text) is not None
        ended = last < wide * 0.85 and text.endswith(_SENTENCE_END)
        if text and (not line.text or heading != level or item or (not heading and ended)):
            yield Piece(kind, text, level, page)
            text = ""
        if not line.text:
            continue
        if not text:
            text, level = line.text, heading
            kind = BlockKind.HEADING if heading else BlockKind.LIST if item else BlockKind.PARAGRAPH
        elif _SPLIT_WORD.match(text[-2:]) and line.text[:1].islower():
            text = text[:-1] + line.text
        else:
            text += " " + line.text
        last = len(line.text)


def _level(line: _Line, usual: float) -> int:
    """0: no heading."""
    if not usual or len(line.text) > _HEADING_CHARACTERS or not any(map(str.isalpha, line.text)):
        return 0
    for times, level in _LARGE:
        if line.size >= usual * times:
            return level
    stands_out = line.bold and line.size >= usual and not line.text.endswith((".", ",", ";", "!", ":"))
    return 3 if stands_out and len(line.text) <= 80 else 0
