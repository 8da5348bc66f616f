"""The tools that may be called: offered with the request, or described in the text of a prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from devstack.model_server.schema_shapes import properties_of, required_of, resolved
from devstack.model_server.understanding.concepts import concepts, name_concepts, name_words
from devstack.model_server.understanding.intents import EMAIL, INTENTS, intents_of
from devstack.model_server.understanding.parts import reference_in
from devstack.model_server.understanding.sayings import Sayings
from devstack.model_server.words import words

_ENOUGH = 3


@dataclass(frozen=True, slots=True)
class Offer:
    """One tool. `parameters` is the JSON Schema of its arguments, {} where it is not known."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def properties(self) -> Mapping[str, Any]:
        """The arguments by name."""
        return properties_of(resolved(self.parameters, self.parameters))

    @property
    def required(self) -> list[str]:
        """The arguments that must be given."""
        return [name for name in required_of(resolved(self.parameters, self.parameters)) if name in self.properties]


def offered(tools: Iterable[Mapping[str, Any]]) -> list[Offer]:
    """The tools of a request in Ollama's form; those without a name are left out."""
    found = []
    for tool in tools:
        function = tool["function"]
        parameters = function.get("parameters")
        if name := str(function.get("name") or ""):
            described = str(function.get("description") or "")
            found.append(Offer(name, described, parameters if isinstance(parameters, Mapping) else {}))
    return found


def fitting(offers: Sequence[Offer], text: str) -> Offer | None:
    """The tool that fits a piece of a request best; None when none fits well enough."""
    intents = intents_of(text)
    scores = [(_score(offer, text, intents), -index) for index, offer in enumerate(offers)]
    if not scores:
        return None
    best, index = max(scores)
    return offers[-index] if best >= _ENOUGH or (best == _ENOUGH - 1 and len(words(text)) <= 8) else None


def _score(offer: Offer, text: str, intents: frozenset[str]) -> int:
    """Points for what the request asks for, the tool's name, its description and its arguments."""
    asked, named = concepts(text), name_concepts(offer.name)
    mentioned = len(offer.name) > 3 and offer.name.lower() in text.lower() and "_" in offer.name
    tool_words = frozenset(words(name_words(offer.name)))
    owners = [intent for intent in INTENTS if intent.owns(tool_words)]
    if not owners:
        described = frozenset(words(" ".join(offer.description.split()[:12])))
        owners = [intent for intent in INTENTS if not intent.exclusive and intent.owns(described)]
    wanted = [intent for intent in owners if intent.name in intents]
    if any(intent.exclusive for intent in owners) and not wanted and not mentioned:
        return 0
    described_concepts = concepts(offer.description) - named
    score = 3 * len(asked & named) + min(3, len(asked & described_concepts))
    score += max((intent.weight for intent in wanted), default=0) + (10 if mentioned else 0)
    return score + _evidence(offer, text) if score else 0


def _evidence(offer: Offer, text: str) -> int:
    """Points for required arguments that nothing else can be mistaken for: they stand in the text, or they do not."""
    if reference_in(text):
        return 0  # they may come from an earlier result
    said, points = Sayings(text), 0
    for name in offer.required:
        kind = resolved(offer.properties[name], offer.parameters).get("type")
        if "mail" in name:
            points += 4 if EMAIL.search(text) else -2
        elif kind in ("integer", "number"):
            points += 3 if said.number(name) is not None else -1
    return points
