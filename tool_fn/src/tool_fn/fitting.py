"""Text as it can be sent, stored and shown: valid, without NUL, no longer than it may be."""

import re
from typing import Final

# What UTF-8 cannot hold, and what Postgres does not store.
_UNFIT: Final = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


def fit(text: str) -> str:
    """The text with a replacement character for each that cannot be sent or stored."""
    # Most texts hold none; for those this is a memory-speed scan and no copy.
    return _UNFIT.sub(_REPLACEMENT, text) if "\x00" in text or not _is_utf8(text) else text


def cut(text: str, limit_bytes: int) -> tuple[str, bool]:
    """The text, made fit, in at most so many bytes of UTF-8, and whether that left something out.

    A cut text ends with a line that says so, in place of its end.
    """
    length = len(text)
    if length <= limit_bytes:
        text = fit(text)
        if length * 4 <= limit_bytes or len(text.encode()) <= limit_bytes:
            return text, False
    note = f"\n[Cut here: the whole result has {length:,} characters.]"
    room = max(limit_bytes - len(note), 0)
    # No character takes less than a byte, so this much is enough, however long the rest is.
    start = fit(text[:room]).encode()[:room].decode(errors="ignore")
    return start + note, True


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
