"""Finds out whether a text tells what stands in another one that is to be kept: in so many words, or thinly veiled.

Looked at are letters and digits only, in lower case, so that spaces and dashes between them hide nothing. Besides the
text as it is, its base64, base32, hex, rot13 and reversed forms are known. Any other code passes: this is a tripwire.
"""

from __future__ import annotations

import base64
import codecs
import re
from collections import deque
from functools import lru_cache
from typing import Final

from dormouse_runtime.filters import Action, BlockedError, Tell

NAME: Final = "prompt_leak"
# So many letters and digits in a row are no coincidence.
_RUN: Final = 40
_GRAM: Final = 8
_MOST_HELD: Final = 4000
_MOST_KEPT: Final = 30_000
# A word that stands for itself: a key, a code, a marker.
_TELLING: Final = re.compile(r"(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{10,200}")
_LEAST: Final = 10


def _plain(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _veiled(text: str) -> list[str]:
    """The text in the forms that hide it a little."""
    raw = text.encode()
    forms = [text, text[::-1], codecs.encode(text, "rot13"), raw.hex(), base64.b32encode(raw).decode()]
    # What stands before it shifts base64 by one or two bytes; the ends depend on what is around.
    forms += [base64.b64encode(b"\0" * shift + raw).decode()[4 if shift else 0 :].rstrip("=") for shift in range(3)]
    return [_plain(form) for form in forms]


class Kept:
    """A text that is to be kept."""

    def __init__(self, text: str) -> None:
        text = text[:_MOST_KEPT]
        self.forms = "\0".join(_veiled(text))
        self.grams = frozenset(self.forms[at : at + _GRAM] for at in range(len(self.forms) - _GRAM + 1))
        words = dict.fromkeys(_TELLING.findall(text))
        needles = {form[1:-1] if place > 4 else form for word in words for place, form in enumerate(_veiled(word))}
        self.needles = tuple(needle for needle in needles if len(needle) >= _LEAST)
        self.longest_needle = max(map(len, self.needles), default=0)


@lru_cache(maxsize=64)
def kept(text: str) -> Kept:
    """What is looked for; remembered, since the runs of one application keep the same text."""
    return Kept(text)


class LeakGuard:
    """A filters.Stage that flags, masks or stops what tells the kept text.

    Held back is the end of what was said as far as the kept text has it, too.
    """

    def __init__(self, text: str, action: Action, tell: Tell) -> None:
        self._kept = kept(text)
        self._action = action
        self._tell = tell
        self._most = max(_RUN, self._kept.longest_needle, 64) + 1
        self._tail = ""
        self._run = 0
        """How many of the last letters and digits stand in the kept text one behind the other."""
        self._held: deque[tuple[str, int]] = deque()
        self._letters = 0
        self._is_leaking = False

    def feed(self, text: str) -> str:
        """See filters.Stage."""
        released: list[str] = []
        for character in text:
            plain = _plain(character)
            self._held.append((character, len(plain)))
            self._letters += len(plain)
            for letter in plain:
                self._follow(letter)
                if self._run >= _RUN or any(self._tail.endswith(needle) for needle in self._kept.needles):
                    self._found()
                elif self._is_leaking and self._run < _GRAM:
                    self._is_leaking = False
                    released.append(self._let_go("[system prompt]" if self._action is Action.MASK else None))
            if not self._is_leaking or len(self._held) > _MOST_HELD:
                released.append(self._let_go())
        return "".join(released)

    def finish(self) -> str:
        """See filters.Stage."""
        self._run = 0
        return self._let_go("[system prompt]" if self._is_leaking and self._action is Action.MASK else None)

    def _follow(self, letter: str) -> None:
        self._tail = (self._tail + letter)[-self._most :]
        longer = min(self._run + 1, self._most)
        if longer > _GRAM and self._tail[-longer:] in self._kept.forms:
            self._run = longer
        elif self._tail[-_GRAM:] in self._kept.grams:
            self._run = _GRAM
            while self._run < len(self._tail) and self._tail[-self._run - 1 :] in self._kept.forms:
                self._run += 1
        else:
            # Shorter beginnings are everywhere: they are taken to be one.
            self._run = min(_GRAM - 1, len(self._tail))

    def _found(self) -> None:
        if not self._is_leaking:
            self._is_leaking = True
            self._tell(NAME, self._action, "system_prompt")
        if self._action is Action.BLOCK:
            raise BlockedError(NAME, "system_prompt")

    def _let_go(self, instead: str | None = None) -> str:
        """What no longer may be the beginning of a leak; `instead` takes its place."""
        released: list[str] = []
        while self._held and self._letters - self._held[0][1] >= self._run:
            character, letters = self._held.popleft()
            self._letters -= letters
            released.append(character)
        return "".join(released) if instead is None else instead
