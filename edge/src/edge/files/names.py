"""Names of files as clients send them, made harmless."""

import unicodedata
from typing import Final

NAME_LIMIT: Final = 255
"""Characters."""

# Controls, format characters (which turn the direction of text or are not seen), surrogates, line and page separators.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def clean_name(given: bytes) -> str:
    """The last part of a path, in composed Unicode, without what is not seen. Never empty, never `.` or `..`.

    It is only ever shown: where the bytes are kept does not follow from it.
    """
    try:
        text = given.decode()
    except UnicodeDecodeError:
        text = given.decode("latin-1")
    text = "".join(letter for letter in text if unicodedata.category(letter) not in _UNSEEN)
    text = unicodedata.normalize("NFC", text.replace("\\", "/").rpartition("/")[2]).strip()
    if len(text) > NAME_LIMIT:
        stem, dot, extension = text.rpartition(".")
        keeps = bool(stem) and len(extension) < 16
        text = f"{stem[: NAME_LIMIT - len(extension) - 1]}{dot}{extension}" if keeps else text[:NAME_LIMIT]
    return text if text.strip(".") else "file"
