"""Cuts a request into the pieces that may each ask for something, and says in which order they stand."""

from __future__ import annotations

import re
from dataclasses import dataclass

from devstack.model_server.understanding.shielding import Shielded
from devstack.model_server.words import words

MOST_PIECES = 50
_STAGE = re.compile(
    r"\s*[,;.]?\s*(?:\b(?:and\s+)?(?:then|afterwards|after that|finally)\b"
    r"|\band\s+(?=(?:use|take|with)\s+(?:that|it|this)\b))[,:]?\s+",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\"“A-Z0-9\ue000])|\s*\n\s*(?:[-*•]\s+|\d+[.)]\s+)?|\s*;\s+(?=[A-Za-z]{3,})")
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")
_JOINT = re.compile(r"\s*,?\s+(?:and|as well as|plus also)\s+(?:also\s+)?|\s*,\s+(?:also\s+)?", re.IGNORECASE)
_LIST = re.compile(r"\s(?:and|as well as)\s", re.IGNORECASE)
_LEAD = re.compile(r"^(?:(?:also|please|now|next|first|firstly|second|secondly|lastly),?\s+)+", re.IGNORECASE)
_REFERENCE = re.compile(
    r"\b(?:the|its|their|this|that|these|those|both|your) "
    r"(?:(?:first|second|last|two|previous) )?"
    r"(?:results?|answers?|outputs?|values?|numbers?|sums?|products?|differences?|findings?|totals?|response)\b"
    r"|\b(?:that|those|their|his|her|its) (?!is\b|are\b|was\b)[a-z]+\b"
    r"|\b(?:it|that|this|them|both|those|there)\b(?=\s*(?:$|[,.;:!?]|(?:by|to|with|from|and|plus|minus|times|into|in|as|"
    r"is|up|on|for|of|over)\b))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a request. `joint` is what stands between it and the piece before it in its sentence, "" if none."""

    text: str
    joint: str = ""

    @property
    def refers(self) -> bool:
        """Whether it speaks of something earlier: "the result", "it"."""
        return bool(_REFERENCE.search(self.text))


def stages(request: str) -> list[list[Piece]]:
    """The pieces of `request`: what "then" separates comes one after the other, the rest of a stage is side by side.

    At most 50 stages of 50 pieces.
    """
    shielded = Shielded(request)
    found: list[list[Piece]] = []
    for stage in _STAGE.split(shielded.text):
        pieces: list[Piece] = []
        for sentence in _SENTENCE.split(_BULLET.sub("", stage)):
            pieces += _pieces(sentence, shielded)
        if pieces:
            found.append(pieces[:MOST_PIECES])
    return found[:MOST_PIECES]


def reference_in(text: str) -> re.Match[str] | None:
    """Where `text` speaks of something earlier."""
    return _REFERENCE.search(text)


def _pieces(sentence: str, shielded: Shielded) -> list[Piece]:
    lists_until = max((found.start() for found in _LIST.finditer(sentence)), default=-1)
    pieces: list[Piece] = []
    start, joint = 0, ""
    for found in _JOINT.finditer(sentence):
        if not _LIST.search(found.group()) and found.start() > lists_until:
            continue  # "Paris, Texas": only in "A, B and C" a comma parts one thing from another
        pieces.append(Piece(shielded.open(sentence[start : found.start()]).strip(), joint))
        start, joint = found.end(), found.group()
    pieces.append(Piece(shielded.open(sentence[start:]).strip(), joint))
    pieces = [Piece(_LEAD.sub("", piece.text), piece.joint) for piece in _without_false_lists(pieces)]
    return [piece for piece in pieces if piece.text.strip(" .,;:!?")]


def bare_name(text: str) -> str:
    """The name, when `text` is hardly more than one: "in Oslo", "New York?". "" when it is not."""
    name = text.strip(" .!?").removeprefix("in ").removeprefix("for ").removeprefix("of ")
    return name if name[:1].isupper() and len(words(name)) <= 3 else ""


def _without_false_lists(pieces: list[Piece]) -> list[Piece]:
    """A name behind a comma is one of a list only if a name ends the list: not in "Paris, Texas, and who was Ada"."""
    kept: list[Piece] = []
    for place, piece in enumerate(pieces):
        is_in_list = (
            "," in piece.joint and not _LIST.search(f" {piece.joint.strip(' ,')} ") and bool(bare_name(piece.text))
        )
        last = next((other for other in pieces[place + 1 :] if "and" in other.joint or "well" in other.joint), None)
        if is_in_list and kept and (last is None or not bare_name(last.text)):
            kept[-1] = Piece(f"{kept[-1].text}{piece.joint}{piece.text}", kept[-1].joint)
        else:
            kept.append(piece)
    return kept
