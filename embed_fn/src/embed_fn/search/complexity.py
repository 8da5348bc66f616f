"""How much work a question is worth, and how the bounds of that are learned.

Pure functions: the same question has the same complexity everywhere.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from embed_fn.search.port import Mode

_WORD: Final = re.compile(r"\w+")
# Questions whose answer is in several places, or has to be put together.
_COMPARING: Final = re.compile(
    r"\b(compare|comparison|differ\w*|versus|vs|better|worse|trade-?offs?|pros|cons|between|relationship|conflict\w*"
    r"|contradict\w*|unterschied\w*|vergleich\w*|compar\w+|diff[ée]ren\w+)\b",
    re.IGNORECASE,
)
_REASONING: Final = re.compile(
    r"\b(why|how|explain|reason\w*|cause\w*|impact|consequence\w*|summari[sz]e|overview|analy[sz]e|evaluate|warum|wieso"
    r"|weshalb|wie|erkl[äa]re?|pourquoi|comment|por qu[ée]|c[óo]mo)\b",
    re.IGNORECASE,
)
_JOINING: Final = re.compile(
    r"\b(and|or|but|while|whereas|as well as|both|und|oder|aber|et|ou|mais|y|o|pero)\b", re.IGNORECASE
)
_ALL: Final = re.compile(r"\b(all|every|each|list|which|any|alle|jede\w*|tous|toutes|todos|todas)\b", re.IGNORECASE)

LEAST_OUTCOMES: Final = 40
WORTH: Final = 0.2
"""A deeper mode was worth its time if this share of what it showed was new."""
STEP: Final = 0.05
"""The most that a bound moves at once."""
_MISSED: Final = 2.0
"""A missed gain weighs as much as this many searches that were deeper for nothing."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Below the first a question is searched FAST, from the second on DEEP, else BALANCED. Both 0 to 1."""

    balanced_from: float = 0.3
    deep_from: float = 0.7


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search of this mode has brought. gain: the share of its best passages that the next cheaper mode lacks."""

    complexity: float
    mode: Mode
    gain: float


def complexity(question: str) -> float:
    """0 for a word or two, 1 for a long question that compares, reasons and asks for several things."""
    words = len(_WORD.findall(question))
    length = min(max(words - 2, 0) / 28, 1.0)
    score = 0.4 * length
    score += 0.25 * bool(_COMPARING.search(question))
    score += 0.15 * bool(_REASONING.search(question))
    score += min(0.05 * len(_JOINING.findall(question)), 0.15)
    score += 0.05 * bool(_ALL.search(question))
    score += min(0.1 * max(question.count("?") - 1, 0), 0.2)
    return min(score, 1.0)


def chosen(mode: Mode, score: float, thresholds: Thresholds) -> Mode:
    """The mode that is asked for, or for AUTO the one that the complexity wants."""
    if mode is not Mode.AUTO:
        return mode
    if score >= thresholds.deep_from:
        return Mode.DEEP
    return Mode.BALANCED if score >= thresholds.balanced_from else Mode.FAST


def retuned(thresholds: Thresholds, outcomes: Sequence[Outcome]) -> Thresholds:
    """The thresholds a step nearer to where a deeper mode has been worth it.

    A bound moves only when LEAST_OUTCOMES tell of its mode. It goes to where the fewest of those searches would have
    been decided wrongly; of places that are as good, to the nearest.
    """
    balanced = _moved(thresholds.balanced_from, [each for each in outcomes if each.mode is Mode.BALANCED])
    deep = _moved(thresholds.deep_from, [each for each in outcomes if each.mode is Mode.DEEP])
    return Thresholds(balanced, max(balanced, deep))


def _moved(bound: float, outcomes: Sequence[Outcome]) -> float:
    if len(outcomes) < LEAST_OUTCOMES:
        return bound
    places = sorted({bound, 0.0, 1.0, *(round(each.complexity, 2) for each in outcomes)})
    best = min(places, key=lambda place: (_wrong(place, outcomes), abs(place - bound)))
    return min(max(bound + min(max(best - bound, -STEP), STEP), 0.05), 0.95)


def _wrong(bound: float, outcomes: Sequence[Outcome]) -> float:
    missed = sum(1 for each in outcomes if each.gain >= WORTH and each.complexity < bound)
    idle = sum(1 for each in outcomes if each.gain < WORTH and each.complexity >= bound)
    return _MISSED * missed + idle
