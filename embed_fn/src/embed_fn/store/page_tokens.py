"""Where a page of a list ends."""

import base64
import binascii
import re
from typing import Final

from embed_fn import errors

_TOKEN: Final = re.compile(r"([0-9]{1,18}):(.{1,200})", re.DOTALL)


def page_token(created_us: object, document_id: object) -> str:
    """Behind the document with this time, in microseconds, and id."""
    return base64.urlsafe_b64encode(f"{created_us}:{document_id}".encode()).decode().rstrip("=")


def read_page_token(token: str) -> tuple[int | None, str]:
    """The time and id; None and "" for an empty token. Errors: INVALID_ARGUMENT."""
    if not token:
        return None, ""
    try:
        match = _TOKEN.fullmatch(
            base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
        )
    except (binascii.Error, ValueError):
        match = None
    if match is None or "\0" in match[2]:
        raise errors.invalid_argument("page_token is not one that an answer gave.")
    return int(match[1]), match[2]
