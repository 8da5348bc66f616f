"""Which part of a request an argument means, told by the argument's name and description."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from devstack.model_server.understanding.concepts import concepts, name_words
from devstack.model_server.understanding.earlier import Result
from devstack.model_server.understanding.finders import FINDERS, PLACES, find_artifact, find_place
from devstack.model_server.understanding.intents import DATE, URL
from devstack.model_server.words import words

_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_ORDINAL = re.compile(rf"\b({'|'.join(_ORDINALS)}) (?:derivative|order)\b", re.IGNORECASE)
_VAGUE = concepts("number numbers value values integer first second third last given which")
_MOST_NUMBERS = 100
_NEAR = 40
_WRAPPERS = (
    r"^(?:please\s+|kindly\s+|(?:can|could|would|will) you\s+|i(?:'d| would) like (?:you )?to\s+|now\s+)+",
    r"^(?:do a |run a |make a )?(?:web )?(?:search|look|query|browse|google)(?: (?:the )?(?:web|internet|wikipedia|news"
    r"|(?:my|our|the) (?:\w+ )?(?:documents?|docs|files|notes)))?(?: up)?(?: (?:for|about|on))?\s+",
    r"^(?:what|which) (?:do|does|can) (?:my|our|the) (?:\w+ )?(?:documents?|docs|files?|notes|manuals?|handbooks?)"
    r" (?:say|tell|state|contain|know)(?: us| me)?(?: (?:about|on|of))? ",
    r"^(?:find|get|tell me|show me|give me|read|explain|describe|summari[sz]e|fetch)"
    r"(?: (?:out|information|everything|something|more|what \w+ says?))*(?: (?:about|on|for))?\s+",
    r"^(?:research|investigate|look into|compare|check)\s+",
    r"^(?:who|what|where|when) (?:is|are|was|were|does|did) (?=\w)",
    r"^(?:who|what|where) (?=.+ (?:is|are|was|were)[?.!]*$)",
    r"^(?:(?:the|an?) )?(?:wikipedia )?(?:article|entry|page) (?:about|on|of|for) ",
    r"^(?:the|an?) (?=[A-ZÀ-Þa-z])",
)
_TAIL = re.compile(
    r"\s*(?:\b(?:on|in|from|using|with|via) (?:wikipedia|the (?:web|internet)|(?:my|our|the) (?:documents?|docs|files))"
    r"|\b(?:born|invented|founded|online|is|are|was|were))?\s*[?.!]*$",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w]|\.\d)")


class Sayings:
    """One part of a request, the request around it, and what has been found out so far."""

    def __init__(self, text: str, whole: str = "", results: Sequence[Result] = (), around: str = "") -> None:
        self.text = text.strip()
        self.whole = whole.strip() or self.text
        self.results = results
        self.around = around
        """What was said before the request."""

    def string(self, name: str, description: str = "") -> str | None:
        """What an argument of this name means; None where neither the part nor the whole request offers anything."""
        for text in dict.fromkeys((self.text, self.whole)):
            if (found := self._string(text, name, description)) is not None:
                return found
        return None

    def number(self, name: str, description: str = "") -> float | None:
        """The number that stands beside a word of the argument's name."""
        if name == "order" and (ordinal := _ORDINAL.search(self.text)):
            return float(_ORDINALS.index(ordinal[1].lower()) + 1)
        asked = concepts(name_words(name)) | concepts(" ".join(words(description)[:6])) - _VAGUE
        shown = DATE.sub(" ", URL.sub(" ", self.text))
        for found in itertools.islice(_NUMBER.finditer(shown), _MOST_NUMBERS):
            before = shown[max(0, found.start() - _NEAR) : found.start()].split()[-2:]
            after = shown[found.end() : found.end() + _NEAR].split()[:2]
            if concepts(" ".join([*before, *after])) & asked:
                return float(found.group())
            if "top" in [word.lower() for word in before] and {"limit", "max", "count", "rows"} & set(
                words(name_words(name))
            ):
                return float(found.group())
        return None

    def subject(self) -> str:
        """What the part is about, without the words that ask for it."""
        text = " ".join(self.text.split())
        for wrapper in _WRAPPERS:
            text = re.sub(wrapper, "", text, count=1, flags=re.IGNORECASE)
        text = _TAIL.sub("", text).strip(" :“”\"'")
        return text or self.text

    def _string(self, text: str, name: str, description: str) -> str | None:
        parts = set(words(name_words(name)))
        if "id" in parts and "artifact" in description.lower():
            return find_artifact(self, text, name) or None
        for names, find in FINDERS:
            if parts & names and (found := find(self, text, name)):
                return found
        hinted = set(words(description)[:8])
        if hinted & (PLACES - {"place", "address"}) and (found := find_place(self, text, name)):
            return found
        return None
