"""Whether a text says what a sentence claims, by the words and numbers that both have.

Cheap, the same every time, and without a model: every number, day and month of the sentence has to be in the text, at
least half of its content words have to be (`LEAST_SHARE`), and where sentences of the text have most of them
(`SAME_SHARE`), one of these has to be negated as the claim is, or not negated as it is not. A word counts as the same
from its first five letters on, numbers however they are written. It finds invented figures, names and topics. It does
not see what only a reader understands: who did what to whom, or a translation, which shares few words with its
original.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

LEAST_SHARE: Final = 0.5
SAME_SHARE: Final = 0.8

_WORD: Final = re.compile(r"\d+(?:[.,'\u2019\u00a0\u202f]\d+)*|[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_BETWEEN_SENTENCES: Final = re.compile(r"[.!?…](?=\s)|[\u3002\uff01\uff1f\n]")
_STEM: Final = 5
_LEAST_LETTERS: Final = 3
_GROUPED: Final = 3
# Scripts that part no words: Chinese, Japanese. There two neighbouring characters are taken for a word.
_UNPARTED: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_STOP_TEXT: Final = """
    a about above after again all also although am an and any are as at be because been before being below between
    both but by can could did do does doing down during each for from further get gets had has have having he her here
    hers him his how however if in into is it its just may me might more most must my need needs of off on once only or
    other our out over own per said same say says shall she should so some such than that the their them then there
    these they this those through to too under until up use uses very was we were what when where which while who whom
    why will with within would you your
    aber alle als also am an auch auf aus bei bis das dass dem den der des die dies diese dieser doch durch ein eine
    einem einen einer eines er es für hat haben ich ihr im in ist ja jede jeder kann können man mit muss müssen nach
    noch nur oder sein sich sie sind so soll über um und uns unter vom von vor war was weil wenn wer werden wie wir
    wird wurde zu zum zur
"""
_NEGATION_TEXT: Final = """
    no not none never neither nor nothing nobody cannot without unless except excluded excludes exclude prohibited
    forbidden nicht kein keine keinen keiner keinem nie niemals ohne weder verboten ausgeschlossen außer
"""
# Days and months are as little to be mistaken as numbers. "May" is mostly another word.
_DATE_TEXT: Final = """
    monday tuesday wednesday thursday friday saturday sunday january february march april june july august september
    october november december montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag januar februar märz
    april mai juni juli oktober dezember
"""
_DATES: Final = frozenset(_DATE_TEXT.split())
_STOP: Final = frozenset(_STOP_TEXT.split())
_NEGATIONS: Final = frozenset(_NEGATION_TEXT.split())
_NUMBER_WORDS: Final = {
    word: str(number)
    for numbers in (
        "zero one two three four five six seven eight nine ten eleven twelve",
        "null _ zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
    )
    for number, word in enumerate(numbers.split())
    if word != "_"
} | {"twenty": "20", "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "hundred": "100"}


@dataclass(frozen=True, slots=True)
class Content:
    """What a text is about. `words` are stems. `numbers`: with days and months."""

    words: frozenset[str]
    numbers: frozenset[str]
    is_negated: bool

    def share_in(self, other: "Content") -> float:
        """How much of its words the other has, 0 to 1; 1 where it has none."""
        return len(self.words & other.words) / len(self.words) if self.words else 1.0


@dataclass(frozen=True, slots=True)
class Material:
    """A text that may support something: as a whole, and sentence by sentence."""

    whole: Content
    sentences: tuple[Content, ...]

    def supports(self, claim: Content) -> bool:
        """See the module."""
        if not claim.numbers <= self.whole.numbers or claim.share_in(self.whole) < LEAST_SHARE:
            return False
        if not claim.words:
            return bool(claim.numbers)
        alike = [sentence for sentence in self.sentences if claim.share_in(sentence) >= SAME_SHARE]
        return not alike or any(sentence.is_negated == claim.is_negated for sentence in alike)


def content(text: str) -> Content:
    """The content of a text."""
    words: set[str] = set()
    numbers: set[str] = set()
    is_negated = False
    for found in _WORD.finditer(text):
        word = found[0].casefold()
        if word[0].isdecimal():
            numbers.add(_number(word))
            continue
        if word in _NEGATIONS or word.endswith(("n't", "n\u2019t")):
            is_negated = True
            continue
        if (number := _NUMBER_WORDS.get(word)) is not None:
            if number != "1":  # "one" is mostly no number
                numbers.add(number)
        elif word in _DATES:
            numbers.add(word)
        elif _UNPARTED.search(word):
            words.update(word[place : place + 2] for place in range(max(len(word) - 1, 1)))
        elif len(word) >= _LEAST_LETTERS and word not in _STOP:
            words.add(_stem(word))
    return Content(frozenset(words), frozenset(numbers), is_negated)


@lru_cache(maxsize=64)
def material(text: str, beside: tuple[str, ...] = ()) -> Material:
    """A text with its sentences. `beside`: what goes for all of it, such as a document's name."""
    whole = content("\n".join((text, *beside)))
    return Material(whole, tuple(map(content, filter(str.strip, _BETWEEN_SENTENCES.split(text)))))


def joined(materials: Iterable[Material]) -> Material:
    """Several texts as one."""
    parts = list(materials)
    words = frozenset[str]().union(*(part.whole.words for part in parts))
    numbers = frozenset[str]().union(*(part.whole.numbers for part in parts))
    sentences = tuple(sentence for part in parts for sentence in part.sentences)
    return Material(Content(words, numbers, is_negated=False), sentences)


def _stem(word: str) -> str:
    if word.endswith("s") and not word.endswith("ss") and len(word) > _LEAST_LETTERS:
        word = word[:-1]
    return word[:_STEM]


def _number(text: str) -> str:
    """1,000 = 1.000 = 1000 and 2,50 = 2.5: three digits behind every sign make it one that groups."""
    first, *rest = re.split(r"\D", text)
    if rest and all(len(part) == _GROUPED for part in rest) and first != "0":
        return _plain("".join((first, *rest)))
    if rest and all(len(part) == _GROUPED for part in rest[:-1]):  # with a decimal point or comma
        whole, fraction = _plain("".join((first, *rest[:-1]))), rest[-1].rstrip("0")
        return f"{whole}.{fraction}" if fraction else whole
    return ".".join(map(_plain, (first, *rest)))  # one without signs, a date, a version


def _plain(digits: str) -> str:
    return digits.lstrip("0") or "0"
