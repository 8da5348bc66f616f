"""What of an answer a model gets to read."""

import time

import pytest
from tool_fn.web import Answer, FetchError
from tool_fn.web.charsets import decode
from tool_fn.web.content import readable
from tool_fn.web.html_text import html_to_text

PAGE = """<!DOCTYPE html><html><head><title>Tea &amp; more</title><style>p {}</style>
<script>if (a < b) document.write("<p>no</p>")</script></head>
<body><nav><ul><li><a href="/">Home</a></li></ul></nav><h1>All about
 <b>tea</b></h1><p>Tea is a drink, see <a href="/wiki/Tea?a=1&amp;b=2">the article</a>.<br>It is
 hot.<p>Next <a href="javascript:x">paragraph</a><ul><li>green<li>black</ul>
<table><tr><th>Kind</th><th>Grams</th></tr><tr><td>Green<td>3</table>
<pre>a
  b</pre><!-- a comment > --><img src=x alt="y > z">1 < 2 <footer>Imprint</footer></body></html>"""


def test_html_becomes_markdown() -> None:
    assert html_to_text(PAGE, "https://example.org/a/b") == (
        "Tea & more\n\n# All about tea\n\nTea is a drink, see [the article](https://example.org/wiki/Tea?a=1&b=2).\n"
        "It is hot.\n\nNext paragraph\n\n- green\n- black\n\nKind | Grams\nGreen | 3\n\na\n  b\n\n1 < 2"
    )


@pytest.mark.parametrize(
    "piece",
    [
        "<",
        "<a ",
        "<a x='",
        "</",
        "<!--",
        "<![CDATA[",
        "<title>",
        "<script>",
        "<div>",
        "<a href=x>t",
        "&#",
        "<a '=\"",
        "<td>x",
    ],
)
def test_html_made_to_take_long_does_not(piece: str) -> None:
    page = piece * (500_000 // len(piece))
    start = time.process_time()
    html_to_text(page, "https://example.org/")
    assert time.process_time() - start < 3  # 0.2 s by itself; the standard library's parser takes hours for some


def test_a_number_of_a_million_digits_is_no_character() -> None:
    text = "&#" + "9" * 1_000_000 + ";"
    assert html_to_text(text) == text


@pytest.mark.parametrize(
    ("data", "declared", "text"),
    [
        ("Grüße".encode(), "", "Grüße"),
        ("Grüße".encode("latin-1"), "ISO-8859-1", "Grüße"),
        (
            "Grüße € 5 in a longer text without a label".encode("cp1252"),
            "",
            "Grüße € 5 in a longer text without a label",
        ),
        (b"\xef\xbb\xbfhello", "utf-16", "hello"),
        ("hello".encode("utf-16"), "", "hello"),
        ('<meta charset="windows-1251">Привет'.encode("cp1251"), "", '<meta charset="windows-1251">Привет'),
        (b'<?xml version="1.0" encoding="koi8-r"?>\xf0', "", '<?xml version="1.0" encoding="koi8-r"?>П'),
        ("日本".encode("shift_jis"), '"Shift_JIS"', "日本"),
        (b"a" * 500 + b"\xe2\x82", "", "a" * 500 + "\N{REPLACEMENT CHARACTER}"),
        (b"hello", "rot13", "hello"),
        (b"hello", "no-such-thing", "hello"),
    ],
)
def test_bytes_are_read_by_what_is_said_of_them(data: bytes, declared: str, text: str) -> None:
    assert decode(data, declared) == text


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("application/json; charset=utf-8", b'{"a": "<b>"}', '{"a": "<b>"}'),
        ("application/problem+json", b"{}", "{}"),
        ("text/plain", b"<b>not html</b>", "<b>not html</b>"),
        ("text/html", b"<b>html</b>", "html"),
        ("TEXT/HTML; charset=latin1", "<b>ü</b>".encode("latin1"), "ü"),
        ("", b"<!DOCTYPE html><p>html", "html"),
        ("", b"text", "text"),
        ("application/octet-stream", b"a,b\n1,2", "a,b\n1,2"),
        ("text/html", b"<p>" + b"word " * 10_000, ("word " * 10_000).strip()),
        ("text/html", b"", ""),
    ],
)
async def test_text_is_readable(kind: str, body: bytes, text: str) -> None:
    assert await readable(Answer("http://x.example/", 200, body, headers={"content-type": kind})) == text


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("image/png", b"\x89PNG\r\n\x1a\n\x00"),
        ("application/pdf", b"%PDF-1.7"),
        ("application/zip", b"PK\x03\x04"),
        ("text/plain", b"\x00\x01\x02"),
        ("", b"\x7fELF\x02\x01"),
        ("video/mp4", b"text"),
    ],
)
async def test_what_is_no_text_is_refused_in_a_sentence(kind: str, body: bytes) -> None:
    with pytest.raises(FetchError, match="not text"):
        await readable(Answer("http://x.example/", 200, body, headers={"content-type": kind}))
