"""Keeps code, quotations, brackets, addresses and tables in one piece while the text around them is cut up."""

from __future__ import annotations

import re

from devstack.model_server.understanding.tables import table_spans

_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
_SHIELDED = re.compile(
    r"```.*?(?:```|\Z)"
    r"|`[^`\n]+`"
    r"|“[^”]*”"
    r"|\"[^\"\n]*\""
    r"|(?<![\w'])'[^'\n]{2,}'(?!\w)"
    r"|https?://[^\s<>\"')]+",
    re.DOTALL,
)
_CLOSING = {"}": "{", "]": "[", ")": "("}


class Shielded:
    """A text with placeholders where nothing may be cut; `open` puts the pieces back."""

    def __init__(self, text: str) -> None:
        self._pieces: list[str] = []
        for start, end in reversed(table_spans(text)):
            text = text[:start] + self._hide(text[start:end]) + text[end:]
        text = _SHIELDED.sub(lambda found: self._hide(found.group()), text)
        for start, end in reversed(bracketed(text)):
            text = text[:start] + self._hide(text[start:end]) + text[end:]
        self.text = text

    def _hide(self, piece: str) -> str:
        self._pieces.append(piece)
        return f"{_OPEN}{len(self._pieces) - 1}{_CLOSE}"

    def open(self, text: str) -> str:
        """`text`, which was cut from this one, with the hidden pieces in their places."""
        while _MARK.search(text):
            text = _MARK.sub(lambda found: self._pieces[int(found.group(1))], text)
        return text


def bracketed(text: str) -> list[tuple[int, int]]:
    """Where the outermost pairs of brackets stand, in order; what is never closed is none."""
    open_at: list[int] = []
    pairs: list[tuple[int, int]] = []
    for place, character in enumerate(text):
        if character in "{[(":
            open_at.append(place)
        elif character in _CLOSING and open_at and text[open_at[-1]] == _CLOSING[character]:
            start = open_at.pop()
            while pairs and pairs[-1][0] > start:
                pairs.pop()
            pairs.append((start, place + 1))
    return pairs
