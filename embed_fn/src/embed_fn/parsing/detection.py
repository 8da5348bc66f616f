"""Finds out what a file is by its content. Its name only tells kinds of text apart."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from dormouse_runtime.workers.errors import RefusalError

from embed_fn.parsing.document import Piece
from embed_fn.parsing.encodings import lines, text_encoding
from embed_fn.parsing.formats import csv_table, docx, html, json_values, markdown, pdf, plain, pptx, xlsx
from embed_fn.parsing.packed import Package, encrypted
from embed_fn.parsing.source import Source

_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
_MACROS: Final = "application/vnd.ms-"
_CONTENT_TYPES: Final = "[Content_Types].xml"
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_READ_INSTEAD: Final = "Files that can be read: PDF, DOCX, PPTX, XLSX, CSV, HTML, Markdown, JSON and plain text."
# Beginnings of files, and what people call those.
_KNOWN: Final = (
    (b"\x89PNG", "a PNG picture"), (b"\xff\xd8\xff", "a JPEG picture"), (b"GIF8", "a GIF picture"),
    (b"BM", "a BMP picture"), (b"II*\0", "a TIFF picture"), (b"MM\0*", "a TIFF picture"), (b"\x1f\x8b", "a gzip file"),
    (b"7z\xbc\xaf", "a 7-Zip archive"), (b"Rar!", "a RAR archive"), (b"\xfd7zXZ", "an xz file"),
    (b"BZh", "a bzip2 file"), (b"(\xb5/\xfd", "a Zstandard file"), (b"\x7fELF", "a program"), (b"MZ", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"), (b"\xcf\xfa\xed\xfe", "a program"), (b"SQLite format 3", "a SQLite database"),
    (b"PAR1", "a Parquet file"), (b"ID3", "a sound file"), (b"OggS", "a sound file"), (b"fLaC", "a sound file"),
    (b"RIFF", "a sound, picture or video file"), (b"\x1aE\xdf\xa3", "a video file"), (b"wOF", "a font"),
    (b"\0\x01\0\0\0", "a font"), (b"OTTO", "a font"), (b"%!PS", "a PostScript file"), (b"{\\rtf", "an RTF file"),
)  # fmt: skip
_HTML: Final = re.compile(
    r"\s*(?:<!--.*?-->\s*)*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|title|h1|p|div|table)\b",
    re.IGNORECASE | re.DOTALL,
)
_XML: Final = re.compile(r"\s*<(?:\?xml|!DOCTYPE|[a-zA-Z][\w:.-]*(?:\s[^<>]*)?/?>)", re.IGNORECASE)
_SAMPLE_LINES: Final = 30
_LINE_CHARACTERS: Final = 1 << 20
_MARKDOWN_NAMES: Final = ("md", "markdown", "mdown", "mkd", "rst")
_TABLE_NAMES: Final = ("csv", "tsv", "tab", "psv")


class _OfficeReader(Protocol):
    def __call__(self, source: Source, package: Package, main: str, /) -> Iterator[Piece]: ...


@dataclass(frozen=True, slots=True)
class Detected:
    """pieces: to be read once."""

    media_type: str
    pieces: Iterator[Piece]


_OFFICE_READERS: Final[tuple[tuple[str, str, _OfficeReader], ...]] = (
    ("word", "wordprocessingml.document", docx.pieces),
    ("powerpoint", "presentationml.presentation", pptx.pieces),
    ("excel", "spreadsheetml.sheet", xlsx.pieces),
)


def detect(source: Source) -> Detected:
    """What the file is. RefusalError names what has been found where that cannot be read."""
    head = source.head(4096)
    if not source.size:
        raise RefusalError("The file is empty.")
    if b"%PDF-" in head[:1024]:
        return Detected("application/pdf", pdf.pieces(source))
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _packed(source)
    if head.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in source.file.getbuffer()[: 1 << 20].tobytes():
            raise encrypted()
        raise RefusalError(
            "This is an Office file of the kind before 2007. Save it as DOCX, PPTX, XLSX or PDF and upload that."
        )
    for beginning, what in _KNOWN:
        if head.startswith(beginning):
            raise _not_readable(what)
    if head[4:8] == b"ftyp":
        raise _not_readable("a video or a picture of a phone")
    encoding = text_encoding(source)
    if encoding is None:
        raise _not_readable("a file of an unknown, binary kind")
    source.encoding = encoding
    return _text(source)


def _not_readable(what: str) -> RefusalError:
    return RefusalError(f"This is {what}, which cannot be read. {_READ_INSTEAD}")


def _packed(source: Source) -> Detected:
    package = Package(source)
    if _CONTENT_TYPES not in package:
        if "META-INF/manifest.xml" in package:
            raise _not_readable("an OpenDocument file")
        if "META-INF/container.xml" in package:
            raise _not_readable("an e-book")
        raise _not_readable("a ZIP archive")
    main = next((name for kind, name in package.relations("").values() if kind == "officeDocument"), "")
    for event, element in package.elements(_CONTENT_TYPES, "start", "end"):
        if event != "end" or element.get("PartName", "").lstrip("/") != main or not main:
            continue
        content_type = element.get("ContentType", "")
        for macros, plain_type, reader in _OFFICE_READERS:
            is_plain = content_type.startswith(f"{_OFFICE}{plain_type.partition('.')[0]}")
            if is_plain or content_type.startswith(_MACROS + macros):
                return Detected(_OFFICE + plain_type, reader(source, package, main))
    raise _not_readable("a packed file that is none of Word, PowerPoint or Excel")


def _text(source: Source) -> Detected:
    sample = _sample(source)
    start = "\n".join(sample)[:65_536].lstrip()
    if not start:
        raise RefusalError("The file holds no text.")
    ending = source.ending
    if start[0] in "{[":
        filled = [line for line in sample if line.strip()]
        if len(filled) > 1 and json_values.is_value(filled[0].strip()) and filled[1].lstrip()[:1] in ("{", "["):
            return Detected("application/jsonl", json_values.line_pieces(source))
        if ending in ("jsonl", "ndjson"):
            return Detected("application/jsonl", json_values.line_pieces(source))
        if ending == "json" or start[1:].lstrip()[:1] in ('"', "{", "[", "}", "]"):
            return Detected("application/json", json_values.value_pieces(source))
    if ending == "json":
        return Detected("application/json", json_values.value_pieces(source))
    if ending not in _MARKDOWN_NAMES and (_HTML.match(start) or (ending in ("html", "htm", "xhtml") and "<" in start)):
        return Detected("text/html", html.pieces(source))
    if ending in _MARKDOWN_NAMES:
        return Detected("text/markdown", markdown.pieces(source))
    if _XML.match(start):
        raise _not_readable("an XML file")
    separated_by = csv_table.delimiter(sample, named=ending in _TABLE_NAMES)
    if separated_by and ending not in ("txt", "log"):
        return Detected("text/csv", csv_table.pieces(source, separated_by))
    if ending not in ("txt", "log") and _looks_like_markdown(sample):
        return Detected("text/markdown", markdown.pieces(source))
    return Detected("text/plain", plain.pieces(source))


def _sample(source: Source) -> list[str]:
    """The first lines; the last of them may be cut off."""
    found: list[str] = []
    for line, _ in lines(source, _LINE_CHARACTERS):
        found.append(line)
        if len(found) == _SAMPLE_LINES:
            break
    return found


def _looks_like_markdown(sample: list[str]) -> bool:
    return any(re.match(r"#{1,6} \S|```|\|[\s:-]+-[\s:|-]+\|\s*$", line) for line in sample)
