"""The headers that a model may send, checked."""

import re
from collections.abc import Mapping
from typing import Final

from tool_fn.tool import ToolError

# What describes a request or carries the caller's own credentials. Not Host, Cookie, Connection, Forwarded and the
# like, by which a request could mean something else to a proxy or a cloud's metadata server.
ALLOWED: Final = (
    "accept", "accept-language", "authorization", "content-type", "if-modified-since", "if-none-match", "prefer",
    "x-api-key", "x-requested-with",
)  # fmt: skip
_VALUE: Final = re.compile(r"[\t\x20-\x7e]{0,2000}")


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """With names in lower case. Raises ToolError for others than the allowed, and for values that are none."""
    checked = {}
    for name, value in headers.items():
        if name.lower() not in ALLOWED:
            raise ToolError(f"The header {name[:60]!r} cannot be sent. Allowed: {', '.join(ALLOWED)}.")
        if not _VALUE.fullmatch(value):
            raise ToolError(f"The header {name.lower()} may hold at most 2000 characters of ASCII in one line.")
        checked[name.lower()] = value.strip()
    return checked
