"""Where a text that is too long for one passage is cut."""

import re
import unicodedata
from typing import Final

# Behind these: the end of a line with something below it, of a sentence, of a part of one.
_PLACES: Final = (
    re.compile(r"\n\s*"),
    re.compile(
        "[.!?\u2026][\"'\u201d\u2019)\\]\u00bb]*\\s+|[\u3002\uff01\uff1f\uff61][\u201d\u2019\uff09\u300d\u300f]*\\s*"
    ),
    re.compile("[;:,\u060c\u3001\uff0c\uff1b\uff1a]\\s*"),
)
_WORD_END: Final = re.compile(r"\s+")
_JOINER: Final = "\u200d"


def cut_before(text: str, start: int, limit: int) -> int:
    """The best place to cut text[start:] at, in the second half of the `limit` characters that follow; at most
    start + limit, more than start."""
    end, least = start + limit, start + limit // 2
    for place in _PLACES:
        found = 0
        for match in place.finditer(text, least, end):
            found = match.end()
        if found > start:
            return found
    # Nearly always a plain space.
    found = text.rfind(" ", least, end) + 1
    if found > start:
        return found
    while end > least + 1 and (unicodedata.combining(text[end]) or _JOINER in text[end - 1 : end + 1]):
        end -= 1
    return max(end, start + 1)


def overlap_from(text: str, start: int, cut: int, overlap: int) -> int:
    """Where the passage behind a cut begins so that it repeats up to `overlap` characters: at a word,
    and never far back towards `start`, where the one before began."""
    if overlap <= 0:
        return cut
    least = max(cut - overlap, start + (cut - start) // 2 + 1)
    for place in (_PLACES[1], _WORD_END):
        match = place.search(text, least, cut)
        if match is not None and match.end() < cut:
            return match.end()
    return cut
