"""Origins of web pages, as browsers name them: scheme, host and port."""

import re
from typing import Final

ANY: Final = "*"
"""Every page there is."""

_FORM: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")


def check_origin(word: str) -> str:
    """An origin as browsers send it, or ANY. Raises ValueError, which says what is wrong."""
    if word != ANY and not _FORM.fullmatch(word):
        raise ValueError(f"wants origins such as https://app.example.org, in small letters, without a path; not {word}")
    return word
