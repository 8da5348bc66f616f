"""From bytes to text: which encoding a file has, and its text in slices: a large file is never decoded whole."""

import codecs
from collections.abc import Iterator
from typing import Final

from charset_normalizer import from_bytes
from dormouse_runtime.workers.errors import RefusalError

from embed_fn.parsing.cleaning import clean
from embed_fn.parsing.source import Source

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SLICE_BYTES: Final = 1 << 18
_SAMPLE_BYTES: Final = 1 << 16
# As much of a text may be broken or strange before it counts as no text.
_BROKEN: Final = 0.002
_STRANGE: Final = 0.02
_CONTROLS: Final = bytes(number for number in range(32) if number not in b"\t\n\x0b\x0c\r\x1b")


def text_encoding(source: Source) -> str | None:
    """The encoding of a text; None: it is none."""
    head = source.head(_SAMPLE_BYTES)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if not head:
        return "utf-8"
    wide = _wide(head)
    if wide:
        return wide
    if sum(map(head.count, _CONTROLS)) > max(4, len(head) * _STRANGE):
        return None
    broken, first = _broken_utf8(source)
    if broken <= max(1, source.size * _BROKEN) and (broken <= 1 or not _is_latin(source, first)):
        return "utf-8"
    return _guess(source, first)


def _wide(head: bytes) -> str:
    """UTF-16 without a mark: in most scripts every other byte of spaces, digits and line ends is zero."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if half >= 2 and max(even, odd) >= half * 0.3 and min(even, odd) <= half * 0.02:
        return "utf-16-le" if odd > even else "utf-16-be"
    return ""


def _broken_utf8(source: Source) -> tuple[int, int]:
    """How many places are no UTF-8, and where the first is."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    source.file.seek(0)
    broken, first = 0, -1
    position = 0
    while data := source.file.read(_SLICE_BYTES):
        if not data.isascii():
            found = decoder.decode(data).count("\ufffd")
            if found and first < 0:
                first = position
            broken += found
        elif decoder.getstate()[0]:
            broken += 1
            decoder.reset()
        position += len(data)
    return broken + bool(decoder.getstate()[0]), max(first, 0)


def _is_latin(source: Source, first: int) -> bool:
    """Whether every byte past ASCII stands alone, as in an old 8-bit encoding."""
    source.file.seek(first)
    return not any(ord("\ufffd") != ord(c) > 127 for c in source.file.read(_SAMPLE_BYTES).decode("utf-8", "replace"))


def _guess(source: Source, first: int) -> str | None:
    source.file.seek(first)
    sample = source.file.read(_SAMPLE_BYTES)
    best = from_bytes(sample, steps=4, chunk_size=512).best()
    if best is not None:
        return best.encoding
    letters = sum(byte >= 128 for byte in sample)
    return "cp1252" if letters < len(sample) * 0.3 else None


def slices(source: Source) -> Iterator[str]:
    """The text, cleaned, in slices. What is broken becomes U+FFFD."""
    decoder = codecs.getincrementaldecoder(source.encoding)("replace")
    source.file.seek(0)
    held = ""
    while data := source.file.read(_SLICE_BYTES):
        text = held + decoder.decode(data)
        # The two halves of a line end, and a letter and its marks, belong together.
        end = len(text) - text.endswith("\r")
        if not text.isascii():
            end = _before_last_ascii(text)
        held = text[end:]
        yield clean(text[:end])
    yield clean(held + decoder.decode(b"", final=True))


def _before_last_ascii(text: str) -> int:
    for index in range(len(text) - 1, max(len(text) - 1000, 0), -1):
        if text[index].isascii() and text[index] != "\n":
            return index
    return len(text)


def lines(source: Source, most: int) -> Iterator[tuple[str, bool]]:
    """The lines without their ends, in parts of at most about `most` characters; and whether the line goes on."""
    rest = ""
    for text in slices(source):
        parts = (rest + text).split("\n")
        rest = parts.pop()
        for part in parts:
            yield from _bounded(part, most, goes_on=False)
        if len(rest) > most:
            yield rest, True
            rest = ""
    if rest:
        yield from _bounded(rest, most, goes_on=False)


def _bounded(line: str, most: int, *, goes_on: bool) -> Iterator[tuple[str, bool]]:
    if len(line) <= most:
        yield line, goes_on
        return
    for start in range(0, len(line), most):
        yield line[start : start + most], goes_on or start + most < len(line)


def whole_lines(source: Source, most: int) -> Iterator[str]:
    """The lines without their ends. A longer one than `most` characters is refused."""
    parts: list[str] = []
    length = 0
    for number, (part, goes_on) in enumerate(lines(source, 1 << 20), 1):
        length += len(part)
        if length > most:
            raise RefusalError(
                f"Around line {number} there is a line of more than {most:,} characters. Break it into shorter ones."
            )
        if goes_on or parts:
            parts.append(part)
        if not goes_on:
            yield "".join(parts) if parts else part
            parts, length = [], 0


def whole(source: Source) -> str:
    """All of the text; for files that are known to be small."""
    return "".join(slices(source))
