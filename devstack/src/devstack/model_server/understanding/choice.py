"""Decides which calls a request asks for, in which order, and with which arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from devstack.model_server.offering import NOTHING
from devstack.model_server.understanding.earlier import Result
from devstack.model_server.understanding.finders import PROPER
from devstack.model_server.understanding.offers import Offer, fitting
from devstack.model_server.understanding.parts import Piece, bare_name, stages
from devstack.model_server.understanding.sayings import Sayings
from devstack.model_server.values import ValueMaker


@dataclass(frozen=True, slots=True)
class Wanted:
    """One call that a request asks for, in words."""

    tool: Offer
    text: str
    refers: bool
    """It speaks of an earlier result."""


def wanted_calls(request: str, offers: Sequence[Offer]) -> list[list[Wanted]]:
    """What `request` asks of the tools: stages that come one after the other, each of calls side by side."""
    found: list[list[Wanted]] = []
    for pieces in stages(request):
        stage: list[Wanted] = []
        for wanted in _joined(pieces, offers):
            if wanted.refers and stage:
                found.append(stage)
                stage = []
            stage.append(wanted)
        if stage:
            found.append(stage)
    return found


def arguments_for(
    tool: Offer, text: str, request: str, results: Sequence[Result] = (), around: str = ""
) -> dict[str, Any]:
    """A tool's arguments out of the words that ask for it: what is required, and what the words offer besides.

    `around` is what was said before the request.
    """
    properties, required = tool.properties, tool.required
    said = Sayings(text, request, results, around)
    maker = ValueMaker(text, tool.parameters, said)
    filled: dict[str, Any] = {}
    for name in sorted(properties, key=lambda name: name not in required):
        value = maker.offered(properties[name], name)
        if value is NOTHING and name in required:
            value = maker.value(properties[name], name)
        if value is not NOTHING:
            filled[name] = value
    if not filled and not required:
        filled = {name: maker.value(schema, name) for name, schema in properties.items() if "default" not in schema}
    return {name: filled[name] for name in properties if name in filled}


def _joined(pieces: Sequence[Piece], offers: Sequence[Offer]) -> list[Wanted]:
    """The calls that the pieces ask for; a piece that asks for none belongs to the one before it."""
    calls: list[Wanted] = []
    before = ""
    for piece in pieces:
        tool = fitting(offers, piece.text)
        if tool is None and piece.joint and calls and (again := repeated(calls[-1].text, piece.text)):
            calls.append(Wanted(calls[-1].tool, again, refers=False))
        elif tool is None and calls:
            joined = f"{calls[-1].text}{piece.joint or chr(10)}{piece.text}"
            # What was added may make another tool the better one: a table behind its question.
            calls[-1] = Wanted(fitting(offers, joined) or calls[-1].tool, joined, calls[-1].refers)
        elif tool is None:
            before = f"{before}{piece.joint or chr(10)}{piece.text}".strip()
        else:
            text = f"{before}\n{piece.text}" if before else piece.text
            calls.append(Wanted(fitting(offers, text) or tool, text, piece.refers))
            before = ""
    if before and not calls and (tool := fitting(offers, before)):
        calls.append(Wanted(tool, before, refers=False))
    return calls


def spelled_out(pieces: Sequence[Piece]) -> list[str]:
    """What each piece asks for in full: "the weather in Rome and Oslo" is also "the weather in Oslo"."""
    texts: list[str] = []
    for piece in pieces:
        again = repeated(texts[-1], piece.text) if piece.joint and texts else ""
        texts.append(again or piece.text)
    return texts


def repeated(text: str, piece: str) -> str:
    """ "the weather in Rome" with "Oslo" for "Rome", when `piece` is hardly more than a name. "" when it is not."""
    name, names = bare_name(piece), list(PROPER.finditer(text))
    if not name:
        return ""
    return f"{text[: names[-1].start()]}{name}{text[names[-1].end() :]}" if names else ""
