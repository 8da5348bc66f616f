"""Files that mean harm, or look as if: made here, each by a few lines."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pypdf import PdfReader, PdfWriter

from loadtest.pdf_writer import PdfFile, text_pdf
from tests.unit.embed_fn.parsing.office_files import (
    MACRO_DOCUMENT,
    PRESENTATION,
    docx,
    line,
    office,
    packed,
    paragraph,
    relations,
    xlsx,
)

MB: Final = 1_000_000
GOOD: Final = text_pdf([["# Good", "This page is as it should be."]])
_TREE: Final = b"<< /Type /Catalog /Pages 2 0 R >>"
_FONT: Final = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
_SHOW: Final = b"BT /F1 10 Tf 50 700 Td (Harmless.) Tj ET"
_ENTITIES: Final = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(12))
_BILLION_LAUGHS: Final = f'<!DOCTYPE x [<!ENTITY e0 "ha">{_ENTITIES}]>'


@dataclass(frozen=True, slots=True)
class Hostile:
    """refused: None where both to read it and to refuse it would be right."""

    id: str
    make: Callable[[], bytes]
    refused: bool | None = None
    name: str = "file"


def _pdf(*objects: bytes, trailer: bytes = b"") -> bytes:
    return PdfFile(list(objects), trailer).bytes()


def _page(rest: bytes = b"/Contents 4 0 R") -> bytes:
    return (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 5 0 R >> >> " + rest + b" >>"
    )


def _stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %b >>\nstream\n%b\nendstream" % (len(data), entries, data)


def _one_page(contents: bytes, page: bytes | None = None) -> bytes:
    return _pdf(_TREE, b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>", page or _page(), contents, _FONT)


def _kids(kids: bytes, count: int = 1) -> bytes:
    pages = b"<< /Type /Pages /Count %d /Kids [%b] >>" % (count, kids)
    return _pdf(_TREE, pages, _page(), _stream(_SHOW), _FONT)


def _encrypted(user: str, algorithm: str) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(GOOD)))
    writer.encrypt(user, "owner", algorithm=algorithm)
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


def _deep_tree() -> bytes:
    file = PdfFile([_TREE])
    for number in range(2, 3000):
        file.add(b"<< /Type /Pages /Count 1 /Kids [%d 0 R] >>" % (number + 1))
    file.add(_page())
    return file.bytes()


def _bomb(megabytes: int, times: int = 1) -> bytes:
    packer = zlib.compressobj(9)
    data = b"".join([packer.compress(bytes(MB)) for _ in range(megabytes)]) + packer.flush()
    for _ in range(times - 1):
        data = zlib.compress(data, 9)
    return data


def _object_stream_bomb() -> bytes:
    data = _bomb(80)
    return _pdf(_TREE, b"6 0 R", _stream(data, b"/Type /ObjStm /N 1 /First 4 /Filter /FlateDecode"))


def _form_that_shows_itself() -> bytes:
    resources = b"/Resources << /XObject << /X 6 0 R >> /Font << /F1 5 0 R >> >>"
    form = _stream(b"/X Do /X Do " + _SHOW, b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] " + resources)
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R " + resources + b" >>"
    return _pdf(_TREE, b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>", page, _stream(b"/X Do"), _FONT, form)


def _previous_is_itself() -> bytes:
    end = GOOD.rindex(b"startxref")
    start = int(GOOD[end:].split()[1])
    return GOOD.replace(b"/Root 1 0 R", b"/Root 1 0 R /Prev %d" % start)


def _many_entries() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        for number in range(10_001):
            package.writestr(f"word/{number}", b"")
    return file.getvalue()


def _zip_that_lies() -> bytes:
    """Says that its document is small, everywhere."""
    data = docx(paragraph("x" * (5 * MB)))
    size = next(
        i.file_size for i in zipfile.ZipFile(io.BytesIO(data)).infolist() if i.filename.endswith("document.xml")
    )
    return data.replace(struct.pack("<I", size), struct.pack("<I", 100))


def _flagged_encrypted() -> bytes:
    data = bytearray(docx(paragraph("x")))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        position = data.find(mark)
        while position >= 0:
            data[position + offset] |= 1
            position = data.find(mark, position + 1)
    return bytes(data)


def _ole(text: bytes) -> bytes:
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + text + bytes(512)


def _pptx_without_slides() -> bytes:
    name = "http://schemas.openxmlformats.org/presentationml/2006/main"
    ids = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    slides = "".join(f'<p:sldId xmlns:r="{ids}" id="{n}" r:id="rId1"/>' for n in range(256, 600))
    presentation = f'<p:presentation xmlns:p="{name}"><p:sldIdLst>{slides}</p:sldIdLst></p:presentation>'
    return office(
        "ppt/presentation.xml",
        PRESENTATION,
        {
            "ppt/presentation.xml": presentation,
            "ppt/_rels/presentation.xml.rels": relations({"rId1": ("slide", "presentation.xml")}),
        },
    )


def _deep_xml(depth: int) -> bytes:
    return docx("<w:sdt>" * depth + paragraph("x") + "</w:sdt>" * depth)


HOSTILE: Final = (
    # PDF
    Hostile("pdf-of-nothing", lambda: b"%PDF-1.7\n", refused=True),
    Hostile("pdf-cut-in-half", lambda: GOOD[: len(GOOD) // 2], refused=True),
    Hostile("pdf-without-its-end", lambda: GOOD[:-40]),
    Hostile(
        "pdf-full-of-noise", lambda: b"%PDF-1.7\n" + bytes(range(256)) * 2000 + b"startxref\n9\n%%EOF", refused=True
    ),
    Hostile("pdf-with-a-password", lambda: _encrypted("secret", "RC4-128"), refused=True),
    Hostile("pdf-with-a-password-aes", lambda: _encrypted("secret", "AES-256"), refused=True),
    Hostile("pdf-that-only-forbids-printing", lambda: _encrypted("", "AES-256"), refused=False),
    Hostile("pdf-whose-pages-are-their-own-child", lambda: _kids(b"2 0 R"), refused=True),
    Hostile("pdf-with-a-loop-and-a-page", lambda: _kids(b"3 0 R 2 0 R 3 0 R")),
    Hostile("pdf-that-claims-a-million-pages", lambda: _kids(b"3 0 R", MB), refused=False),
    Hostile("pdf-with-a-million-times-the-same-page", lambda: _kids(b"3 0 R " * MB, MB), refused=True),
    Hostile("pdf-with-5001-pages", lambda: _kids(b"3 0 R " * 5001, 5001), refused=True),
    Hostile("pdf-with-a-deep-tree", _deep_tree, refused=True),
    Hostile("pdf-page-bomb", lambda: _one_page(_stream(_bomb(60), b"/Filter /FlateDecode")), refused=True),
    Hostile(
        "pdf-page-bomb-in-a-bomb",
        lambda: _one_page(_stream(_bomb(60, 3), b"/Filter [" + b"/FlateDecode " * 3 + b"]")),
        refused=True,
    ),
    Hostile("pdf-a-hundred-filters", lambda: _one_page(_stream(_SHOW, b"/Filter [" + b"/FlateDecode " * 100 + b"]"))),
    Hostile("pdf-object-stream-bomb", _object_stream_bomb, refused=True),
    Hostile("pdf-form-that-shows-itself", _form_that_shows_itself),
    Hostile("pdf-table-that-goes-back-to-itself", _previous_is_itself),
    Hostile("pdf-of-pictures", lambda: _one_page(_stream(b"0 0 9 9 re f")), refused=True),
    Hostile(
        "pdf-that-runs-programs",
        lambda: _one_page(_stream(_SHOW)).replace(
            b"/Type /Catalog",
            b"/Type /Catalog /OpenAction << /S /Launch /F (calc.exe) >> /AA << /O << /S /JavaScript >> >>",
        ),
        refused=False,
    ),
    Hostile("pdf-array-a-hundred-thousand-deep", lambda: _one_page(_stream(b"[" * 100_000 + _SHOW))),
    Hostile("pdf-object-a-hundred-thousand-deep", lambda: _pdf(_TREE, b"[" * 100_000 + b"]" * 100_000), refused=True),
    Hostile("pdf-stream-longer-than-it-is", lambda: GOOD.replace(b"/Length ", b"/Length 9999")),
    Hostile("pdf-text-without-end", lambda: _one_page(_stream(_SHOW * 8_000))),
    Hostile("pdf-operator-noise", lambda: _one_page(_stream(bytes(range(1, 256)) * 4000))),
    # Office
    Hostile("zip", lambda: packed({"a.txt": "hello"}), refused=True),
    Hostile("zip-in-a-zip", lambda: packed({"a.zip": packed({"b.zip": packed({"c": "d"})})}), refused=True),
    Hostile("zip-cut-in-half", lambda: docx(paragraph("x" * 999))[:600], refused=True),
    Hostile("zip-of-nothing", lambda: b"PK\x05\x06" + bytes(18), refused=True),
    Hostile("docx-bomb", lambda: docx(paragraph("x" * (30 * MB))), refused=True),
    Hostile("docx-that-lies-about-its-size", _zip_that_lies, refused=True),
    Hostile("docx-with-too-many-parts", _many_entries, refused=True),
    Hostile("docx-flagged-encrypted", _flagged_encrypted, refused=True),
    Hostile("docx-billion-laughs", lambda: docx(paragraph("&e12;"), before=_BILLION_LAUGHS), refused=True),
    Hostile(
        "docx-external-entity",
        lambda: docx(paragraph("&e;"), before='<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'),
        refused=True,
    ),
    Hostile(
        "docx-external-declarations",
        lambda: docx(paragraph("x"), before='<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">'),
        refused=True,
    ),
    Hostile("docx-nested-ten-thousand-deep", lambda: _deep_xml(10_000), refused=True),
    Hostile("docx-broken-xml", lambda: docx("<w:p><w:r>"), refused=True),
    Hostile("docx-empty", lambda: docx(""), refused=True),
    Hostile(
        "docx-macros",
        lambda: docx(paragraph("x"), content_type=MACRO_DOCUMENT, **{"word/vbaProject.bin": "Shell"}),
        refused=False,
    ),
    Hostile("docx-path-tricks", lambda: docx(paragraph("x"), **{"../../../tmp/x": "x", "/etc/x": "x"}), refused=False),
    Hostile("docx-invisible-text", lambda: docx(paragraph("a\u202eb\u202c&#x200B;c\U000e0041\ufeff")), refused=False),
    Hostile("office-encrypted", lambda: _ole("EncryptedPackage".encode("utf-16-le")), refused=True),
    Hostile("office-of-1997", lambda: _ole(b"WordDocument"), refused=True),
    Hostile(
        "xlsx-one-cell-far-away",
        lambda: xlsx('<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'),
        refused=True,
    ),
    Hostile("xlsx-strings-that-are-missing", lambda: xlsx('<row r="1"><c r="A1" t="s"><v>99999999</v></c></row>')),
    Hostile("xlsx-broken", lambda: xlsx("<row><c></row>"), refused=True),
    Hostile(
        "xlsx-without-its-sheet",
        lambda: packed({"[Content_Types].xml": "<Types/>", "xl/workbook.xml": ""}),
        refused=True,
    ),
    Hostile("xlsx-bomb", lambda: xlsx(line(1, "x" * (30 * MB))), refused=True),
    Hostile("xlsx-formula", lambda: xlsx(line(1, "=cmd|' /C calc'!A0", 1)), refused=False),
    Hostile("pptx-slides-that-are-the-presentation", _pptx_without_slides),
    # Other kinds
    Hostile("program-named-pdf", lambda: b"MZ" + bytes(1000), refused=True, name="report.pdf"),
    Hostile("picture-named-txt", lambda: b"\x89PNG\r\n\x1a\n" + bytes(1000), refused=True, name="notes.txt"),
    Hostile("gzip-named-csv", lambda: b"\x1f\x8b" + bytes(1000), refused=True, name="table.csv"),
    Hostile("noise", lambda: bytes((n * n + n // 7) % 256 for n in range(100_000)), refused=True),
    Hostile("zeros", lambda: bytes(MB), refused=True),
    # Text
    Hostile("empty", lambda: b"", refused=True),
    Hostile("only-a-mark", lambda: b"\xef\xbb\xbf", refused=True),
    Hostile("only-spaces", lambda: b" \n" * MB, refused=True),
    Hostile("null-characters", lambda: b"to\0 be\0 read" + b" or not" * 100, refused=False),
    Hostile("other-direction", lambda: "invoice\u202efdp.exe \u2066x\u2069".encode(), refused=False),
    Hostile("escape-sequences", lambda: b"\x1b[2J\x1b]0;owned\x07 text" + b" and more" * 99, refused=False),
    Hostile("broken-utf-8", lambda: "Grüße ".encode() * 1000 + b"\xff\xfe\xc3" + "Grüße".encode() * 1000),
    Hostile("broken-utf-16", lambda: b"\xff\xfe" + "Hallo".encode("utf-16-le") * 100 + b"\x00\xd8\x41", refused=False),
    Hostile("one-line-of-50-mb", lambda: b"word " * (10 * MB), refused=False),
    Hostile("one-word-of-5-mb", lambda: b"x" * (5 * MB), refused=False),
    Hostile("marks-on-marks", lambda: ("a" + "\u0301" * 400_000).encode(), refused=False),
    Hostile("csv-a-million-columns", lambda: b",".join(b"%d" % n for n in range(MB)) + b"\n1,2\n", name="a.csv"),
    Hostile("csv-a-quote-that-never-ends", lambda: b'a,b\n1,"' + b"x,\n" * MB, refused=True, name="a.csv"),
    Hostile("csv-of-commas", lambda: b"," * MB, name="a.csv", refused=True),
    Hostile("html-20000-deep", lambda: b"<html><body>" + b"<div>" * 20_000 + b"deep", name="a.html"),
    Hostile("html-tables-in-tables", lambda: b"<html><body>" + b"<table><tr><td>" * 50_000 + b"deep"),
    Hostile("html-attributes", lambda: b"<html><body><p " + b"a=b " * 500_000 + b">text</p>"),
    Hostile("html-never-closed", lambda: b"<html><body>" + b"<" * MB + b"<p>text"),
    Hostile(
        "html-scripts", lambda: b"<html><body><script>alert(1)</script><p onclick=x>seen</p></body>", refused=False
    ),
    Hostile("json-a-million-deep", lambda: b"[" * MB + b"]" * MB, refused=True, name="a.json"),
    Hostile("json-cut-off", lambda: b'{"a": [1, 2, ', refused=True, name="a.json"),
    Hostile("json-300000-lists", lambda: b"[" + b"[]," * 300_000 + b"1]", name="a.json"),
    Hostile("json-halves-of-characters", lambda: b'{"a": "\\ud800 \\udc00 x"}', refused=False),
    Hostile("jsonl-a-broken-line", lambda: b'{"a": 1}\n{"a": \n{"a": 3}\n', refused=True, name="a.jsonl"),
    Hostile("markdown-of-hashes", lambda: b"#" * MB + b"\n" + b"# " * 1000 + b"\n# x\n", name="a.md"),
    Hostile("markdown-of-bars", lambda: b"|-" * 2000 + b"\n" + b"|-" * 2000 + b"x\n", name="a.md"),
    Hostile("markdown-of-fences", lambda: b"```\n" * 100_001 + b"end", refused=False, name="a.md"),
    Hostile("markdown-of-headings", lambda: b"###### x\n" * 30_000, refused=False, name="a.md"),
    Hostile("xml-billion-laughs", lambda: f"<?xml version='1.0'?>{_BILLION_LAUGHS}<x>&e12;</x>".encode(), refused=True),
)
