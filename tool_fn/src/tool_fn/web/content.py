"""What of an answer can be read: HTML as Markdown, JSON and other texts as they are, nothing else."""

import asyncio
import re
from typing import Final

from tool_fn.web.charsets import decode
from tool_fn.web.client import Answer
from tool_fn.web.errors import FetchError
from tool_fn.web.html_text import html_to_text

_HTML: Final = frozenset({"text/html", "application/xhtml+xml"})
_TEXTS: Final = re.compile(
    r"text/.*|(application|image|model)/(.*\+)?(json|xml|yaml)|application/"
    r"(x-ndjson|jsonl|ndjson|json-seq|javascript|ecmascript|x-yaml|toml|sql|graphql|rtf|x-sh|x-www-form-urlencoded|csv)"
)
_UNKNOWN: Final = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/unknown"})
_LOOKS_LIKE_HTML: Final = re.compile(rb"\s{0,99}<(!doctype html|html)", re.IGNORECASE)
_CHARSET: Final = re.compile(r""";\s{0,9}charset\s{0,9}=\s{0,9}["']?([A-Za-z0-9_:.-]{1,40})""", re.IGNORECASE)
_LOOK_AT: Final = 2048
# Control characters that no text has. NUL is handled apart because UTF-16 is full of it.
_CONTROLS: Final = bytes(set(range(0x20)) - set(b"\t\n\r\f\v\b\x1b"))
# From here on the reading would hold up other calls.
_LARGE: Final = 20_000


def media_type(header: str) -> tuple[str, str]:
    """A Content-Type header's type and charset, both in lower case and "" where missing."""
    kind = header.partition(";")[0].strip().lower()
    charset = _CHARSET.search(header)
    return kind, "" if charset is None else charset[1].lower()


async def readable(answer: Answer) -> str:
    """The answer's text. Raises FetchError, with the kind and size, for what is no text."""
    kind, charset = media_type(answer.header("content-type"))
    if not answer.body:
        return ""
    if not _is_text(kind, answer.body):
        size = f"more than {len(answer.body)}" if answer.is_cut else str(len(answer.body))
        raise FetchError(f"{answer.url} is {kind or 'binary data'} ({size} bytes), not text. It cannot be read here.")
    text = decode(answer.body, charset)
    if kind not in _HTML and not (kind in _UNKNOWN and _LOOKS_LIKE_HTML.match(answer.body)):
        return text
    if len(text) < _LARGE:
        return html_to_text(text, answer.url)
    return await asyncio.to_thread(html_to_text, text, answer.url)


def _is_text(kind: str, body: bytes) -> bool:
    if kind in _UNKNOWN or kind in _HTML or _TEXTS.fullmatch(kind):
        # Whatever the header says: a picture with a wrong type is noise to a model.
        start = body[:_LOOK_AT]
        return start.startswith((b"\xff\xfe", b"\xfe\xff")) or not _has_controls(start)
    return False


def _has_controls(start: bytes) -> bool:
    return len(start.translate(None, _CONTROLS)) < len(start)
