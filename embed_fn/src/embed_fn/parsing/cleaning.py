"""Takes out of texts and names what is not to be seen, or pretends to be something else."""

import re
import unicodedata
from typing import Final

NAME_CHARACTERS: Final = 200
# Control characters; soft hyphens and zero-width spaces; marks of direction, which can show a text in another order
# than it is read; the invisible tags that can hold a hidden text; lone surrogates and what is no character at all.
# Joiners stay: some scripts need them.
_INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff0-\ufffc\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]+"
)
_LINE_END: Final = re.compile("\r\n?|[\x85\u2028]")
_PARAGRAPH_END: Final = re.compile("[\x0b\x0c\u2029]")
_ASCII: Final = {
    **dict.fromkeys([*range(9), *range(14, 32), 127]),
    ord("\r"): "\n",
    ord("\v"): "\n\n",
    ord("\f"): "\n\n",
}
_SPACES: Final = re.compile(r"[^\S\n]+")
_SPACED_LINE_END: Final = re.compile(r" ?\n ?")
_LINE_ENDS: Final = re.compile(r"\n{3,}")
_LIGATURES: Final = str.maketrans(
    {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl", "\ufb05": "st", "\ufb06": "st"}
)


def clean(text: str) -> str:
    """The text with "\\n" as its only line end and nothing invisible in it. Spaces stay as they are."""
    if text.isascii():  # nearly all of a large file; a table is much faster there
        return text.replace("\r\n", "\n").translate(_ASCII)
    text = _LINE_END.sub("\n", text)
    text = _PARAGRAPH_END.sub("\n\n", text)
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", text))


def tidy(text: str) -> str:
    """A cleaned text with single spaces, at most one empty line in a row, and none at its ends."""
    text = _SPACES.sub(" ", clean(text))
    if "\n" in text:
        text = _LINE_ENDS.sub("\n\n", _SPACED_LINE_END.sub("\n", text))
    return text.strip()


def one_line(text: str) -> str:
    """A cleaned text on one line."""
    return " ".join(clean(text).split())


def without_ligatures(text: str) -> str:
    """Letters that a typesetter has joined, apart again."""
    return text if text.isascii() else text.translate(_LIGATURES)


def clean_name(name: str) -> str:
    """A file's name as it may be shown and stored: its last part, on one line, at most NAME_CHARACTERS long.

    A name that nothing remains of becomes "file".
    """
    name = one_line(name.replace("\\", "/")).rstrip("/").rpartition("/")[2].strip(". ")
    name = re.sub(r'[<>:"|?*]', "_", name)
    if len(name) > NAME_CHARACTERS:
        stem, dot, ending = name.rpartition(".")
        name = f"{stem[: NAME_CHARACTERS - len(ending) - 1]}.{ending}" if dot and len(ending) <= 10 else name
    return name[:NAME_CHARACTERS].strip(". ") or "file"
