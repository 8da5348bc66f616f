"""Content of strangers, sent so that no browser runs it as ours."""

import re
from typing import Final
from urllib.parse import quote

HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}


def attachment(name: str) -> str:
    """Content-Disposition: save it, under this name (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9._ ()-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
