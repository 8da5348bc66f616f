"""What each kind of file becomes: recognised by its content, with its structure and nothing invisible."""

import io
import random
from collections.abc import Sequence
from typing import Any

import docx as python_docx
import pptx as python_pptx
import pytest
from dormouse_runtime.workers import RefusalError
from embed_fn.parsing.cleaning import clean_name
from embed_fn.parsing.detection import detect
from embed_fn.parsing.document import Piece
from embed_fn.parsing.source import Source

from loadtest.pdf_writer import text_pdf
from tests.unit.embed_fn.parsing.office_files import docx, line, paragraph, xlsx

MARKDOWN = """---
title: "The Manual"
---
# Returns #

Send it back
within 30 days.

Exchanges
---------
- by post
- in the shop
  on weekdays

| Part | Price |
|------|------:|
| bolt | 3 \\| 4 |
| nut  |       |

```python
# no heading

x = 1
```
"""
HTML = """<!doctype html><html><head><title>A &amp; B</title><style>p{}</style></head><body><nav>Menu</nav>
<h1>Head<b>ing</b></h1><p>One
 two<br>three</p>loose<ul><li>first<li>second <i>item</i></ul>
<table><tr><th>Part<th>Price<tr><td>bolt<td>3<tr><td><p>long</p><p>nut</p><td>4</table>
<pre>a
  b</pre><script>evil()</script><p hidden>unseen</p></body></html>"""


def read(data: bytes, name: str = "") -> tuple[str, list[Piece], Source]:
    source = Source(io.BytesIO(data), len(data), name)
    detected = detect(source)
    return detected.media_type, list(detected.pieces), source


def shown(pieces: Sequence[Piece]) -> list[tuple[str, str]]:
    return [(f"{piece.kind}{piece.level or ''}", piece.text) for piece in pieces]


def test_markdown() -> None:
    media_type, pieces, source = read(MARKDOWN.encode(), "manual.md")
    assert (media_type, source.title) == ("text/markdown", "The Manual")
    assert shown(pieces) == [
        ("heading1", "Returns"),
        ("paragraph", "Send it back\nwithin 30 days."),
        ("heading2", "Exchanges"),
        ("list", "- by post"),
        ("list", "- in the shop\non weekdays"),
        ("header", "Part | Price"),
        ("row", "bolt | 3 | 4"),
        ("row", "nut |"),
        ("code", "# no heading\n\nx = 1"),
    ]


def test_html() -> None:
    media_type, pieces, source = read(HTML.encode())
    assert (media_type, source.title) == ("text/html", "A & B")
    assert shown(pieces) == [
        ("heading1", "Heading"),
        ("paragraph", "One two\nthree"),
        ("paragraph", "loose"),
        ("list", "first"),
        ("list", "second item"),
        ("header", "Part | Price"),
        ("row", "bolt | 3"),
        ("row", "long nut | 4"),
        ("code", "a\n  b"),
    ]


def test_pdf() -> None:
    page = [
        "# Safety of the pump",
        "Before you open the housing of the pump, switch it off and wait for ten min-",
        "utes. The housing may be hot, and it is under pressure for as long as it is.",
        "Keep away.",
        "Then loosen the four bolts, one after the other, beginning with the one at the",
        "top, and lift the lid.",
    ]
    media_type, pieces, source = read(text_pdf([page, ["- Bolt", "- Nut"]]), "text.txt")
    assert (media_type, source.pages) == ("application/pdf", 2)
    assert [(*row, piece.page) for row, piece in zip(shown(pieces), pieces, strict=True)] == [
        ("heading2", "Safety of the pump", 1),
        (
            "paragraph",
            "Before you open the housing of the pump, switch it off and wait for ten minutes. The housing may be hot, "
            "and it is under pressure for as long as it is. Keep away.",
            1,
        ),
        (
            "paragraph",
            "Then loosen the four bolts, one after the other, beginning with the one at the top, and lift the lid.",
            1,
        ),
        ("list", "- Bolt", 2),
        ("list", "- Nut", 2),
    ]


def test_docx() -> None:
    document = python_docx.Document()
    document.add_heading("The plan", 0)
    document.add_heading("Costs", 1)
    document.add_paragraph("They are\tlow.")
    document.add_paragraph("first", style="List Number")
    table: Any = document.add_table(rows=0, cols=2)
    for cells in (("Item", "Euro"), ("Paper", "3"), ("Ink", "")):
        added = table.add_row().cells
        added[0].text, added[1].text = cells
    document.add_paragraph("The end.")
    file = io.BytesIO()
    document.save(file)
    media_type, pieces, source = read(file.getvalue(), "plan.pdf")
    assert media_type.endswith("wordprocessingml.document")
    assert source.title == "The plan"
    assert shown(pieces) == [
        ("heading1", "The plan"),
        ("heading1", "Costs"),
        ("paragraph", "They are low."),
        ("paragraph", "first"),
        ("header", "Item | Euro"),
        ("row", "Paper | 3"),
        ("row", "Ink"),
        ("paragraph", "The end."),
    ]


def test_docx_shows_what_word_shows() -> None:
    body = paragraph("kept") + "<w:p><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del></w:p>"
    box = f"<w:p><w:r><w:txbxContent>{paragraph('boxed')}</w:txbxContent></w:r></w:p>"
    assert shown(read(docx(body + box))[1]) == [("paragraph", "kept"), ("paragraph", "boxed")]


def test_pptx() -> None:
    deck = python_pptx.Presentation()
    for title, text in (("Welcome", "Hello\nall"), ("Prices", "None")):
        slide: Any = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = text
        slide.notes_slide.notes_text_frame.text = f"Notes on {title}"
    table: Any = slide.shapes.add_table(2, 2, 0, 0, 1000000, 1000000).table
    for number, text in enumerate(("Item", "Euro", "Ink", "5")):
        table.cell(number // 2, number % 2).text = text
    file = io.BytesIO()
    deck.save(file)
    media_type, pieces, source = read(file.getvalue())
    assert media_type.endswith("presentationml.presentation")
    assert (source.title, source.pages) == ("Welcome", 2)
    assert [(*row, piece.page) for row, piece in zip(shown(pieces), pieces, strict=True)] == [
        ("heading1", "Welcome", 1),
        ("list", "Hello", 1),
        ("list", "all", 1),
        ("list", "Notes on Welcome", 1),
        ("heading1", "Prices", 2),
        ("list", "None", 2),
        ("header", "Item | Euro", 2),
        ("row", "Ink | 5", 2),
        ("list", "Notes on Prices", 2),
    ]


def test_xlsx() -> None:
    media_type, pieces, source = read(
        xlsx(line(1, "Part", "Price") + line(2, "bolt", 3) + line(4, "nut", 4), name="Stock")
    )
    assert media_type.endswith("spreadsheetml.sheet")
    assert source.pages == 1
    assert shown(pieces) == [("heading1", "Stock"), ("header", "Part | Price"), ("row", "bolt | 3"), ("row", "nut | 4")]


@pytest.mark.parametrize("name", ["prices.csv", ""])
def test_csv(name: str) -> None:
    data = 'Part;Price;Note\nbolt;3,50;"two\nlines; quoted ""so"""\nnut;4;\n'.encode("utf-8-sig")
    media_type, pieces, _ = read(data, name)
    assert media_type == "text/csv"
    assert shown(pieces) == [
        ("header", "Part | Price | Note"),
        ("row", 'bolt | 3,50 | two lines; quoted "so"'),
        ("row", "nut | 4"),
    ]


def test_json() -> None:
    media_type, pieces, _ = read(
        b'{"name": "pump", "parts": [{"id": 1, "tags": ["a", "b"]}, {"id": {"x": null, "y": true}}]}'
    )
    assert media_type == "application/json"
    assert shown(pieces) == [
        ("paragraph", "name: pump"),
        ("heading1", "parts"),
        ("paragraph", "id: 1\ntags: a, b"),
        ("paragraph", "id.y: true"),
    ]


def test_json_lines() -> None:
    media_type, pieces, _ = read(b'{"a": 1}\n\n{"a": "x\\u0000y\\ud800"}\n')
    assert media_type == "application/jsonl"
    assert shown(pieces) == [("paragraph", "a: 1"), ("paragraph", "a: xy\ufffd")]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "cp1251"]
)
def test_text_in_any_encoding(encoding: str) -> None:
    german = "Die Äpfel fallen nicht weit vom Stamm. Öffnen Sie die Tür, und grüßen Sie höflich.\r\n\r\nSüße Träume."
    russian = "Яблоко от яблони недалеко падает. Откройте дверь и вежливо поздоровайтесь.\r\n\r\nДо свидания."  # noqa: RUF001
    text = russian if encoding == "cp1251" else german
    media_type, pieces, _ = read(text.encode(encoding))
    assert media_type == "text/plain"
    assert [piece.text for piece in pieces] == text.split("\r\n\r\n")


def test_nothing_invisible_remains() -> None:
    text = "pay\u202eecin\u202c to\u0000 me\u200b\U000e0041\ufeff\x07\u2066!\u2069 e\u0301"
    _, pieces, _ = read(text.encode(), "a.txt")
    assert pieces[0].text == "payecin to me! \u00e9"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\report.docx", "report.docx"),
        ("a\0b\nc\u202ecod.exe", "ab ccod.exe"),
        ("", "file"),
        ("..", "file"),
        ("/", "file"),
        ("x" * 500 + ".pdf", "x" * 196 + ".pdf"),
        ("con<>:|?*.txt", "con______.txt"),
        ("Übersicht 2026.xlsx", "Übersicht 2026.xlsx"),
    ],
)
def test_names_are_cleaned(given: str, kept: str) -> None:
    assert clean_name(given) == kept


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"\x89PNG\r\n\x1a\n", "PNG picture"),
        (b"MZ\x90\0", "program"),
        (b"{\\rtf1 hello}", "RTF"),
        (b"<?xml version='1.0'?><a>b</a>", "XML"),
        (bytes(range(256)) * 8, "binary"),
        (b"", "empty"),
        (b" \n\t\n", "no text"),
    ],
)
def test_what_cannot_be_read_is_named(data: bytes, named: str) -> None:
    with pytest.raises(RefusalError, match=named):
        read(data, "report.pdf")


def test_damaged_files_are_refused_or_read() -> None:
    """Whatever is changed in a file: a library's own error never comes out."""
    chance = random.Random(7)
    files = [
        text_pdf([["# A", "b c d."]], packed=False),
        docx(paragraph("a") + f"<w:tbl><w:tr><w:tc>{paragraph('b')}</w:tc></w:tr></w:tbl>"),
        xlsx(line(1, "a", 2)),
        MARKDOWN.encode(),
        HTML.encode(),
        b'{"a": [{"b": 1}, 2, [3]], "c": null}',
    ]
    refused = 0
    for number in range(600):
        data = bytearray(files[number % len(files)])
        for _ in range(chance.choice((1, 3, 20))):
            place = chance.randrange(len(data))
            data[place : place + chance.randrange(4)] = chance.randbytes(chance.randrange(4))
        try:
            read(bytes(data))
        except RefusalError:
            refused += 1
    assert 0 < refused < 600
