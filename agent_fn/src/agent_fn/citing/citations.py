"""Reads the citations of a message that is complete, and finds what in it nothing supports.

A label belongs to the sentence that it stands in or right behind. In a sentence with labels in several places each has
the clause before it; a sentence that begins with its label has all of it. Every label is checked against its passage:

- the passage supports the span, alone or together with the others of the same place: a citation of it;
- none of them does: the span is a claim without support, a citation without a source.

In an answer that used documents, sentences without a label that look like facts are checked, too: against all passages,
what other tools brought, and what the user said. Those that nothing supports are citations without a source.
Labels that nobody has given are no citations. The same text and passages always give the same citations.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from agent_fn.citing import labels
from agent_fn.citing.sentences import sentences
from agent_fn.citing.sources import Sources
from agent_fn.citing.support import Content, Material, content, joined, material
from agent_fn.events import Citation
from agent_fn.sources import Source

_GAP: Final = re.compile(r"[\s,;]*")
_BEFORE: Final = re.compile(r"[\s,;:.)\u2013\u2014-]*")
_LEAST_WORDS: Final = 2
# A sentence without numbers and names is taken for a fact from this many words on.
_LONG: Final = 8
_TITLE: Final = 6
_NAME: Final = re.compile(r"(?<=[^.!?:\s]\s)[^\W\d_a-zß-öø-ÿ][^\W\d_]+")
_DIGIT: Final = re.compile(r"\d")
# What speaks of the answer itself or of who gives it, or says that something is not known.
_ASIDE: Final = re.compile(
    r"(?i)(?:i\b|i'm\b|let me\b|sorry\b|please\b|unfortunately\b|note that\b|here (?:is|are)\b|if you\b|would you\b"
    r"|according to the (?:documents|passages)\b.{0,12}$|ich\b|leider\b|bitte\b|hier (?:ist|sind)\b|wenn sie\b"
    r"|.*\b(?:not (?:say|tell|mention|state|specify|contain|include|found)|no information|nothing about|mentions? no)"
    r"|(?-i:.*\bI (?:am|can|could|do|found|have|know|only)\b)"
    r"|.*\b(?:nicht (?:erwähnt|genannt|angegeben|gefunden)|keine (?:angabe|information)))"
)


@dataclass(slots=True)
class _Group:
    """Labels that stand at one place, each once."""

    start: int
    end: int
    labels: dict[str, None]


def citations(message_id: str, text: str, sources: Sources, *, is_answer: bool) -> list[Citation]:
    """The citations of a message, in the order of their spans.

    is_answer: it is what the run has to say, not what it says before it calls tools; only then claims are looked for.
    """
    if not sources:
        return []
    found = [*_cited(message_id, text, sources)]
    if is_answer and (sources.are_in_use or any(citation.source is not None for citation in found)):
        found += _unsupported(message_id, text, sources, found)
    return sorted(found, key=lambda citation: (citation.start, citation.end))


def unsupported_sentences(text: str, sources: Sources) -> list[str]:
    """The sentences of a text, with labels or without, that nothing supports."""
    found = citations("", text, sources, is_answer=sources.are_in_use)
    return [text[citation.start : citation.end] for citation in found if citation.source is None]


def _cited(message_id: str, text: str, sources: Sources) -> Iterator[Citation]:
    for start, end in sentences(text):
        span: tuple[int, int] | None = None
        whole: tuple[int, int] | None = None
        place = start
        # A sentence of many labels may have the same span for all of them; what was told of it is not told again.
        told: set[tuple[tuple[int, int], tuple[str, ...]]] = set()
        for group in _groups(text, start, end):
            clause = _clause(text, place, group.start)
            if _says_something(text, *clause):
                span = clause
            elif span is None:
                span = whole = whole or _clause(text, start, end)  # the label comes first
            place = group.end
            given = {label: source for label in group.labels if (source := sources.get(label)) is not None}
            if given and span[0] < span[1] and (span, tuple(given)) not in told:
                told.add((span, tuple(given)))
                yield from _checked(message_id, text, span, list(given.values()))


def _checked(message_id: str, text: str, span: tuple[int, int], given: Sequence[Source]) -> Iterator[Citation]:
    claim = content(_plain(text, *span))
    supporting = [source for source in given if _material(source).supports(claim)]
    if not supporting and len(given) > 1 and joined(map(_material, given)).supports(claim):
        supporting = list(given)
    for source in supporting:
        yield Citation(message_id, *span, source)
    if not supporting and _says_something(text, *span):
        yield Citation(message_id, *span, None)


def _unsupported(message_id: str, text: str, sources: Sources, cited: Sequence[Citation]) -> Iterator[Citation]:
    known: list[Material] | None = None
    in_order = deque(sorted(cited, key=lambda citation: citation.start))
    for start, end in sentences(text):
        own: list[Citation] = []
        while in_order and in_order[0].start < end:
            own.append(in_order.popleft())
        for part in _uncited(text, start, end, own):
            if not _is_claim(text, *part, sentence=(start, end)):
                continue
            if known is None:
                known = [*map(_material, sources.all), *map(material, sources.other)]
            claim = content(_plain(text, *part))
            if not any(each.supports(claim) for each in known):
                yield Citation(message_id, *part, None)


def _uncited(text: str, start: int, end: int, cited: Sequence[Citation]) -> Iterator[tuple[int, int]]:
    """The parts of a sentence that none of its citations has, which come in their order: before, between and behind."""
    place = start
    for citation in cited:
        if place < citation.start:
            yield _clause(text, place, citation.start)
        place = max(place, citation.end)
    yield _clause(text, place, end)


def _is_claim(text: str, start: int, end: int, sentence: tuple[int, int]) -> bool:
    plain = _plain(text, start, end)
    if not _says_something(text, start, end) or text[sentence[1] - 1] in ":?":
        return False
    if text[sentence[1] - 1].isalpha() and len(plain.split()) < _TITLE and not _DIGIT.search(plain):
        return False  # a heading, or a list's key word
    if _ASIDE.match(plain.strip()):
        return False
    return bool(_DIGIT.search(plain) or _NAME.search(plain)) or len(plain.split()) > _LONG


def _groups(text: str, start: int, end: int) -> list[_Group]:
    groups: list[_Group] = []
    for found in labels.LABELS.finditer(text, start, end):
        read = dict.fromkeys(labels.read(found[1]))
        if groups and _GAP.fullmatch(text, groups[-1].end, found.start()):
            groups[-1].end = found.end()
            groups[-1].labels.update(read)
        else:
            groups.append(_Group(found.start(), found.end(), read))
    return groups


def _clause(text: str, start: int, end: int) -> tuple[int, int]:
    """Without labels, space and loose punctuation around it."""
    while True:
        gap = _BEFORE.match(text, start, end)
        begin = gap.end() if gap else start
        label = labels.LABELS.match(text, begin, end)
        if label is None:
            break
        start = label.end()
    for found in reversed(list(labels.LABELS.finditer(text, begin, end))):
        if text[found.end() : end].strip():
            break
        end = found.start()
    while begin < end and (text[end - 1].isspace() or text[end - 1] in "(["):
        end -= 1
    return begin, max(begin, end)


def _says_something(text: str, start: int, end: int) -> bool:
    found: Content = content(_plain(text, start, end))
    return len(found.words) + len(found.numbers) >= _LEAST_WORDS


def _plain(text: str, start: int, end: int) -> str:
    return labels.LABELS.sub(" ", text[start:end])


def _material(source: Source) -> Material:
    page = (str(source.first_page),) if source.first_page else ()
    return material(source.text, (source.document_name, *page))
