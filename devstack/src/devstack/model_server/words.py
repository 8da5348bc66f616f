"""Words and sentences of a text, as far as a program without a language needs them."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\S)[^.!?\n]*)*[.!?]*")
_ENDINGS = ("ingly", "edly", "ing", "ies", "ed", "es", "ly", "s")
STOP_WORDS = frozenset(
    _WORD.findall(
        "a about above after again all also am an and any are as at be because been before being below between "
        "both but by can could did do does doing down during each few for from further get give had has have "
        "having he her here hers him his how i if in into is it its itself just let like me more most my no nor "
        "not now of off on once only or other our out over own please same she should so some such tell than that "
        "the their them then there these they this those through to too under until up very was we were what when "
        "where which while who whom why will with would write you your explain describe"
    )
)


def words(text: str) -> list[str]:
    """Every word in lower case, in order."""
    return [word.lower() for word in _WORD.findall(text)]


def stem(word: str) -> str:
    """The word without its commonest English endings, so that `models` meets `model`."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            return word + "y" if ending == "ies" else word
    return word


def topic_words(text: str) -> list[str]:
    """The words that say what a text is about, as they are spelled, each once, in order."""
    found = (word for word in _WORD.findall(text) if len(word) > 1 and word.lower() not in STOP_WORDS)
    return list(dict.fromkeys(found))


def stems(text: str) -> set[str]:
    """The stems of the words that say what a text is about."""
    return {stem(word.lower()) for word in topic_words(text)}


def sentences(text: str) -> list[str]:
    """The sentences of a text; a line break ends one too."""
    return [found for match in _SENTENCE.finditer(text) if (found := match.group().strip())]
