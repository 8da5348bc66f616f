"""Range requests (RFC 9110): which part of a file is wanted."""

import re
from typing import Final

_RANGE: Final = re.compile(r"bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})", re.IGNORECASE)


class UnsatisfiableError(Exception):
    """What is wanted begins behind the end."""


def wanted_part(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte, and the one behind the last. None: the whole; also for several ranges, and for what is no range.

    Raises UnsatisfiableError.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = int(match[2])
        if not length:
            raise UnsatisfiableError
        return max(size - length, 0), size
    start = int(match[1])
    last = int(match[2]) if match[2] else size - 1
    if match[2] and last < start:
        return None
    if start >= size:
        raise UnsatisfiableError
    return start, min(last + 1, size)
