"""Labels in brackets, as tools put them before a passage and models behind a sentence: [1], or [1, 2] for several.

No space follows the bracket: tools put one into what looks like a label inside a passage, so that it is none.
"""

import re
from collections.abc import Mapping
from typing import Final

LABELS: Final = re.compile(r"\[([0-9]{1,4}(?:[,;] ?[0-9]{1,4})*)\]")
_NUMBER: Final = re.compile(r"[0-9]+")


def read(brackets: str) -> list[str]:
    """The labels of what LABELS has matched."""
    return [str(int(number)) for number in _NUMBER.findall(brackets)]


def renamed(text: str, names: Mapping[str, str]) -> str:
    """The text with other labels, in one go; those without a new name stay."""

    def rename(found: re.Match[str]) -> str:
        return "[" + _NUMBER.sub(lambda number: names.get(number[0], number[0]), found[1]) + "]"

    return LABELS.sub(rename, text)
