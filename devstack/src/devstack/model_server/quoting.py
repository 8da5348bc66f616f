"""Quotes passages that stand behind labels, "[1] where it stands" and the passage below it, each with its label."""

from __future__ import annotations

import re
from typing import Final

from devstack.model_server.words import sentences, stems, words

_PASSAGE = re.compile(r"^\[(\d{1,4})\] [^\n]*\n((?:(?!\[\d{1,4}\] |===)[^\n]*(?:\n|$))+)", re.MULTILINE)
_MOST = 3
_LONGEST = 400
_FROM_OUTSIDE: Final = re.compile(r"=== FROM OUTSIDE (\w+): [^\n]* ===\n(.*?)\n=== END FROM OUTSIDE \1 ===", re.DOTALL)
# Less is a heading.
_LEAST_WORDS = 3


def quoted(content: str, about: str) -> str:
    """A bullet for each of the up to three sentences that share the most words with `about`; "" without passages.

    Where none shares any it is the beginning of each passage.
    """
    asked = stems(about)
    found = [
        (len(asked & stems(sentence)), sentence, label)
        for label, passage in _PASSAGE.findall(content)
        for sentence in sentences(passage)
        if len(sentence) <= _LONGEST and len(words(sentence)) >= _LEAST_WORDS
    ]
    # The sort is stable: of equal ones the first.
    best = sorted((each for each in found if each[0]), key=lambda each: -each[0])
    if not best:
        first: dict[str, tuple[int, str, str]] = {}
        for each in found:
            first.setdefault(each[2], each)
        best = list(first.values())
    lines = dict.fromkeys(f"- {sentence} [{label}]" for _, sentence, label in best[:_MOST])
    return "\n".join(lines)


def unquoted(text: str) -> str:
    """The text without the lines that platforms put around what others have written."""
    return _FROM_OUTSIDE.sub(lambda found: found[2], text) if "=== FROM OUTSIDE " in text else text
