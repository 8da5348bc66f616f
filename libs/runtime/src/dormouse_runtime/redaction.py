"""What logs and traces leave out of texts: secrets always, personal data unless the tenant lets them stand."""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Any, Final

from dormouse_runtime.detectors import PERSONAL_DATA, SECRETS, masked

_content: Final[ContextVar[bool]] = ContextVar("dormouse_content", default=False)

# Marked as in former versions, for who looks for the mark. Nothing should log these in the first place.
_MARKED: Final = re.compile(
    r"(?P<keep>\bBearer\s+)[^\s\"',]+"
    r"|\bdm_[a-z]+_[0-9A-Za-z]{20,}"
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]*"
    r"|(?P<user>://[^:/?#\s\"@]*:)[^@/\s\"]+(?=@)"
)
_MARKED_HINTS: Final = ("Bearer ", "Bearer\t", "dm_", "eyJ", "://")


def allow_content() -> None:
    """From now on this task and its children may log what was said, and personal data. Secrets never."""
    _content.set(True)


def is_content_allowed() -> bool:
    """Whether logs and traces of the present task may hold what was said."""
    return _content.get()


def without_secrets(text: str) -> str:
    """The text without keys, tokens and passwords."""
    if any(hint in text for hint in _MARKED_HINTS):
        text = _MARKED.sub(lambda found: (found["keep"] or found["user"] or "") + "***", text)
    return masked(text, SECRETS)


def cleaned(text: str) -> str:
    """The text without secrets, and without personal data unless this task may log it."""
    text = without_secrets(text)
    return text if _content.get() else masked(text, PERSONAL_DATA)


def cleaned_value(value: Any) -> Any:
    """The same for texts inside of lists and mappings; other values stay."""
    if isinstance(value, str):
        return cleaned(value)
    if isinstance(value, dict):
        return {name: cleaned_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [cleaned_value(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return cleaned(str(value))
