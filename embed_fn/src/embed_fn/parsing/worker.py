"""The confined process that reads files.

A file comes in as one OPEN, its bytes in DATA after DATA, and then NEXT until the answer says that it was the last:
each brings some of its passages. OPEN also ends what went before it.
"""

import importlib
import logging
import pkgutil
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any, Final

import orjson
from charset_normalizer.constant import IANA_SUPPORTED
from dormouse_runtime.workers.errors import RefusalError

from embed_fn.chunking.chunk import Chunk, ChunkLimits
from embed_fn.chunking.cutter import Cutter
from embed_fn.parsing.detection import Detected, detect
from embed_fn.parsing.document import Piece
from embed_fn.parsing.limits import Limits
from embed_fn.parsing.source import Source

OPEN: Final = b"O"
DATA: Final = b"D"
NEXT: Final = b"N"
_ANSWER_CHARACTERS: Final = 150_000
_SAMPLES: Final = (
    ("a.txt", b"One.\r\n\r\nTwo \xe9\xe8 deux mots fran\xe7ais, \xe0 bient\xf4t.\n" * 9),
    ("a.txt", "\ufeffÄpfel und Birnen".encode("utf-16")),
    ("a.md", b"# A\n\n- b\n\n|c|d|\n|-|-|\n|1|2|\n\n```\nx\n```\n"),
    ("a.csv", b'a,b\n1,"2"\n'),
    ("a.json", b'{"a": [{"b": 1}]}'),
    ("a.jsonl", b'{"a": 1}\n{"a": 2}\n'),
    ("a.html", b"<html><title>t</title><h1>a</h1><p>b<table><tr><td>c</table></html>"),
    (
        "a.pdf",
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Count 1/Kids[3 0 R]>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Resources<</Font<</F<</Type/Font/Subtype/Type1"
        b"/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>>>>>/Contents 4 0 R>>endobj\n"
        b"4 0 obj<</Length 32>>stream\nBT /F 9 Tf 9 9 Td (Hello.) Tj ET\nendstream endobj\n"
        b"trailer<</Root 1 0 R/Size 5>>\nstartxref\n0\n%%EOF\n",
    ),
)


class _Reading:
    """One file."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._size = told["size"]
        self._file = BytesIO()
        if self._size:
            # All of it at once: a buffer that grows would for a moment be there twice.
            self._file.seek(self._size - 1)
            self._file.write(b"\0")
            self._file.seek(0)
        self.source = Source(self._file, self._size, told["name"], Limits(**told["limits"]))
        self._cutter = Cutter(ChunkLimits(**told["cut"]))
        self._detected: Detected | None = None
        self._chunks: Iterator[Chunk] = iter(())

    def add(self, data: memoryview) -> None:
        self._file.write(data)

    def next(self) -> dict[str, Any]:
        if self._detected is None:
            self._detected = detect(self.source)
            self._chunks = self._cut(self._detected.pieces)
        found: list[tuple[Any, ...]] = []
        characters = 0
        is_last = False
        while characters < _ANSWER_CHARACTERS:
            chunk = next(self._chunks, None)
            if chunk is None:
                is_last = True
                break
            found.append(
                (chunk.number, chunk.text, chunk.headings, chunk.first_page, chunk.last_page, chunk.start, chunk.end)
            )
            characters += len(chunk.text) + 50
        return {
            "chunks": found,
            "is_last": is_last,
            "media_type": self._detected.media_type,
            "title": self.source.title[:1000],
            "pages": self.source.pages,
            "characters": self._cutter.characters,
        }

    def _cut(self, pieces: Iterator[Piece]) -> Iterator[Chunk]:
        limit = self.source.limits.text_characters
        for piece in pieces:
            yield from self._cutter.take(piece)
            if self._cutter.characters > limit:
                raise RefusalError(f"The file holds more than {limit:,} characters of text. Split it into several.")
        if not self._cutter.characters:
            raise RefusalError("The file holds no text.")
        yield from self._cutter.finish()


_reading: list[_Reading] = []


def prepare() -> None:
    """Imports what libraries would import later, above all encodings, and reads a file of each kind once."""
    logging.disable()
    for encoding in IANA_SUPPORTED:
        with suppress(ImportError):
            importlib.import_module(f"encodings.{encoding}")
    for package in ("pypdf._text_extraction", "pypdf.generic"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            # Those for pictures want Pillow, which text needs no more than we do.
            with suppress(ImportError):
                importlib.import_module(module.name)
    for name, data in _SAMPLES:
        handle(OPEN + orjson.dumps({"name": name, "size": len(data), "limits": {}, "cut": {}}))
        handle(DATA + data)
        handle(NEXT)
    _reading.clear()


def handle(request: bytes) -> bytes:
    """One step. RefusalError says to people what is wrong with the file."""
    try:
        return _step(request)
    except MemoryError as error:
        _reading.clear()
        raise RefusalError("Reading the file takes more memory than it may. Split it into several files.") from error
    except RecursionError as error:
        _reading.clear()
        raise RefusalError("The file is nested too deeply. Save it in a simpler form and upload that.") from error
    except BaseException:
        _reading.clear()
        raise


def _step(request: bytes) -> bytes:
    kind = request[:1]
    if kind == OPEN:
        _reading.clear()
        _reading.append(_Reading(orjson.loads(request[1:])))
        return b""
    reading = _reading[0]
    if kind == DATA:
        reading.add(memoryview(request)[1:])
        return b""
    answer = reading.next()
    if answer["is_last"]:
        _reading.clear()
    return orjson.dumps(answer)
