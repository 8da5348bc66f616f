"""Finds the sentences of a message, with what belongs to each: labels that stand right behind its end are its own."""

import re
from collections.abc import Iterator
from typing import Final

from agent_fn.citing.labels import LABELS

# Possessive, and not from the middle of a row of dots: no text makes it slow.
_END: Final = re.compile(
    rf"(?<![.!?…])[.!?…]++[\"'\u201d\u2019»)*_]*+(?:\s*+{LABELS.pattern})*+(?=\s|$)|[\u3002\uff01\uff1f]++(?:\s*+{LABELS.pattern})*+"
)
_CODE: Final = re.compile(r"^\s*(```|~~~)")
# What a line may begin with before its text: a quotation, a heading, a list's bullet or number.
_LEAD: Final = re.compile(r"(?:\s|>|#+\s|[-*+•]\s|\d{1,3}[.)]\s)*")
_SHOWN: Final = re.compile(r"\S")
_LAST_WORD: Final = re.compile(r"(\w[\w.]*)$")
_DOTTED: Final = (
    "e.g i.e etc cf vs no nos dr mr mrs ms prof st inc ltd co corp fig p pp approx ca al art sec vol"
    " z.b d.h u.a bzw usw ggf nr str abs s bspw vgl evtl max min"
)
_ABBREVIATIONS: Final = frozenset(_DOTTED.split())
_LONGEST_ABBREVIATION: Final = 8


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence in code points, without space and list marks around it; none inside of code."""
    place, is_code = 0, False
    for line in text.splitlines(keepends=True):
        if _CODE.match(line):
            is_code = not is_code
        elif not is_code:
            yield from _of_line(text, place, place + len(line.rstrip()))
        place += len(line)


def _of_line(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    lead = _LEAD.match(text, start, end)
    begin = lead.end() if lead else start
    for found in _END.finditer(text, begin, end):
        if found.end() < end and _goes_on(text, begin, found, end):
            continue
        yield from _trimmed(text, begin, found.end())
        begin = found.end()
    yield from _trimmed(text, begin, end)


def _goes_on(text: str, begin: int, found: re.Match[str], end: int) -> bool:
    """Whether the dot ends an abbreviation, an initial or a number and no sentence."""
    if found[0].rstrip() != ".":
        return False
    following = _SHOWN.search(text, found.end(), end)
    if following is not None and following[0].islower():
        return True
    word = _LAST_WORD.search(text, max(begin, found.start() - _LONGEST_ABBREVIATION), found.start())
    return word is not None and (word[1].casefold() in _ABBREVIATIONS or (len(word[1]) == 1 and word[1].isalpha()))


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield start, end
