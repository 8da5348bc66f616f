"""BERT's tokens: words in lower case without accents, cut into the longest pieces that the vocabulary knows.

Devlin et al. 2018; the rules are those of google-research/bert, tokenization.py.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

_LONGEST_WORD: Final = 100
_CJK: Final = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0xF900, 0xFAFF))


class WordPieces:
    """A vocabulary: one piece for each line of vocab.txt; `##` marks those that go on with a word."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._numbers = {piece: number for number, piece in enumerate(vocabulary)}

    @classmethod
    def read(cls, path: Path) -> "WordPieces":
        """vocab.txt of a model."""
        return cls(path.read_text(encoding="utf-8").split("\n")[:-1])

    def numbers(self, text: str, most: int) -> list[int]:
        """[CLS], the pieces, [SEP]: at most `most` in all."""
        pieces = (number for word in _words(text) for number in self._cut(word))
        taken = [number for number, _ in zip(pieces, range(most - 2), strict=False)]
        return [self._numbers["[CLS]"], *taken, self._numbers["[SEP]"]]

    def _cut(self, word: str) -> list[int]:
        found: list[int] = []
        start = 0
        while start < len(word):
            mark = "##" if start else ""
            for end in range(len(word), start, -1):
                number = self._numbers.get(mark + word[start:end])
                if number is not None:
                    break
            else:
                return [self._numbers["[UNK]"]]
            found.append(number)
            start = end
        return found if len(word) <= _LONGEST_WORD else [self._numbers["[UNK]"]]


def _words(text: str) -> Iterator[str]:
    spaced = "".join(_spaced(character) for character in text)
    for word in spaced.split():
        bare = unicodedata.normalize("NFD", word.lower())
        yield from _punctuated("".join(each for each in bare if unicodedata.category(each) != "Mn"))


def _spaced(character: str) -> str:
    if character in "\t\n\r":
        return " "
    if character in "\0\ufffd" or unicodedata.category(character) in ("Cc", "Cf"):
        return ""
    if unicodedata.category(character) == "Zs":
        return " "
    return f" {character} " if any(low <= ord(character) <= high for low, high in _CJK) else character


def _punctuated(word: str) -> Iterator[str]:
    start = 0
    for place, character in enumerate(word):
        if _is_punctuation(character):
            if start < place:
                yield word[start:place]
            yield character
            start = place + 1
    if start < len(word):
        yield word[start:]


def _is_punctuation(character: str) -> bool:
    # All of ASCII that is neither letter nor digit, and what Unicode calls so.
    is_ascii_mark = character.isascii() and not character.isalnum()
    return is_ascii_mark or unicodedata.category(character).startswith("P")
