"""Values that fit a JSON Schema, taken from a text where it offers one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from devstack.model_server.offering import NOTHING, Offering, bounded, neutral
from devstack.model_server.schema_shapes import MAX_DEPTH, kind_of, merged, properties_of, required_of, resolved, sized
from devstack.model_server.understanding.concepts import name_words
from devstack.model_server.understanding.finders import PLACE, PROPER, QUOTED
from devstack.model_server.understanding.sayings import Sayings
from devstack.model_server.words import topic_words, words

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")
_THING = re.compile(r"\b(?:in|at|for|from|to|of|on|with) (?:the|an?|my|our|your) ([a-z][\w-]*(?: room)?)")
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT1M",
    "email": "dev@example.com",
    "uri": "https://example.com/",
    "uri-reference": "/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "example.com",
}
_PATTERN_TRIES = (
    *("a", "A", "0", "1", "ab", "abc", "ABC", "AB", "12", "123", "1234", "12345", "2026-01-01", "a1", "A1", "a-b"),
)
_WHOLE_TEXT = frozenset(
    {"query", "question", "text", "prompt", "input", "message", "content", "request", "task", "search", "q"}
)
_PLACES = frozenset({"city", "location", "place", "country", "town", "region", "address", "destination", "origin"})


class ValueMaker:
    """Makes values out of one text; numbers of the text are used one after the other."""

    def __init__(self, text: str, root: Mapping[str, Any], said: Sayings | None = None) -> None:
        self._text = text
        self._root = root
        self._said = said or Sayings(text)
        self._offering = Offering(text, root, self._said)

    def value(self, schema: object, name: str = "", depth: int = 0) -> Any:
        """A value that is valid against `schema`, as far as a value can be told from common keywords."""
        schema = resolved(schema, self._root)
        if depth > MAX_DEPTH:
            return None  # it refers to itself without end
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            chosen = self._offering.chosen(schema["enum"])
            return schema.get("default", neutral(schema["enum"])) if chosen is NOTHING else chosen
        for keyword in ("anyOf", "oneOf"):
            if isinstance(options := schema.get(keyword), list) and options:
                rest = {key: value for key, value in schema.items() if key != keyword}
                return self.value(merged([rest, self._simplest(options, depth)]), name, depth + 1)
        kind = kind_of(schema)
        if kind == "object":
            return self._object(schema, name, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in ("integer", "number"):
            return self._number(schema, name, whole=kind == "integer")
        if kind == "boolean":
            return not self._offering.is_negative
        return None if kind == "null" else self._string(schema, name)

    def offered(self, schema: object, name: str) -> Any:
        """A value that the text itself offers for an argument that may be left out; NOTHING if it does not."""
        return self._offering.value(schema, name)

    def _simplest(self, options: Sequence[object], depth: int) -> dict[str, Any]:
        """The first option that is not null; deep down the first that does not nest any further."""
        known = [resolved(option, self._root) for option in options]
        if depth >= MAX_DEPTH // 2:
            flat = [option for option in known if kind_of(option) not in ("object", "array")]
            return (flat or known)[0]
        return next((option for option in known if kind_of(option) != "null"), known[0])

    def _object(self, schema: Mapping[str, Any], name: str, depth: int) -> dict[str, Any]:
        properties, required = properties_of(schema), required_of(schema)
        if not properties and not required and (found := self.offered({"type": "object"}, name)) is not NOTHING:
            return dict(found)
        wanted: Iterable[str] = properties if depth < MAX_DEPTH // 2 else required
        filled = {key: self.value(properties[key], key, depth + 1) for key in wanted if key in properties}
        rest = schema.get("additionalProperties")
        for key in required:
            if key not in filled:
                filled[key] = self.value(rest if isinstance(rest, Mapping) else properties.get(key, {}), key, depth + 1)
        return filled

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        least, most = int(schema.get("minItems", 0)), int(schema.get("maxItems", 1000))
        if isinstance(prefix := schema.get("prefixItems"), list):
            made = [self.value(item, name, depth + 1) for item in prefix[:most]]
        else:
            made = []
        items = schema.get("items", {})
        if items is False or depth >= MAX_DEPTH:
            return made
        item = resolved(items, self._root)
        if not made and kind_of(item) == "string" and not {"enum", "const", "format", "pattern"} & set(item):
            topics = topic_words(self._text) or ["nothing"]
            made = [sized(topic, item) for topic in topics[: min(most, max(least, 3))]]
        while len(made) < min(most, max(least, 1)):
            made.append(
                self._another(item, name, depth, made)
                if schema.get("uniqueItems")
                else self.value(item, name, depth + 1)
            )
        return made

    def _another(self, schema: Mapping[str, Any], name: str, depth: int, present: list[Any]) -> Any:
        if isinstance(options := schema.get("enum"), list):
            return next((option for option in options if option not in present), options[0])
        made = self.value(schema, name, depth + 1)
        if made in present and isinstance(made, str):
            return f"{made} {len(present) + 1}"
        while made in present and isinstance(made, int | float) and not isinstance(made, bool):
            made += 1
        return made

    def _number(self, schema: Mapping[str, Any], name: str, *, whole: bool) -> float | int:
        default = schema.get("default")
        found = self._said.number(name, str(schema.get("description") or ""))
        if found is None and (known := self._offering.remembered(name, float)) is not NOTHING:
            found = known
        if found is None:
            default = default if isinstance(default, int | float) else 0.0
            found = self._offering.numbers.pop(0) if self._offering.numbers else float(default)
        elif found in self._offering.numbers:
            self._offering.numbers.remove(found)
        return bounded(found, schema, whole=whole)

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        if schema.get("pattern"):
            return self._matching(schema, name)
        if (wanted := schema.get("format")) in _FORMATS:
            found = self._said.string({"date-time": "date"}.get(str(wanted), str(wanted)))
            return found or _FORMATS[str(wanted)]
        return sized(self._meant(name, str(schema.get("description") or "")), schema)

    def _matching(self, schema: Mapping[str, Any], name: str) -> str:
        tries = [
            *([said] if (said := self._said.string(name)) is not None else ()),
            *_NUMBER.findall(self._text),
            *self._text.split(),
            self._meant(name, ""),
            *_PATTERN_TRIES,
            *_FORMATS.values(),
        ]
        least, most = schema.get("minLength", 0), schema.get("maxLength", 10**6)
        try:
            expression = re.compile(str(schema["pattern"]))
        except re.error:
            return sized(self._meant(name, ""), schema)
        return next((text for text in tries if least <= len(text) <= most and expression.search(text)), "a")

    def _meant(self, name: str, description: str) -> str:
        """What a string of this name means; where nothing is meant, the next best part of the text."""
        if (known := self._offering.remembered(name, str)) is not NOTHING:
            return str(known)
        if (found := self._said.string(name, description)) is not None:
            return found
        text, parts = self._text.strip(), set(words(name_words(name)))
        if quoted := QUOTED.search(text):
            return quoted.group(1) or quoted.group(2)
        if (parts | set(words(description))) & _PLACES and (place := PLACE.search(text) or PROPER.search(text)):
            return place.group(1)
        if parts & _WHOLE_TEXT or not text:
            return text or name or "text"
        if proper := PROPER.search(text):
            return proper.group(1)
        things: list[str] = _THING.findall(text)
        return things[-1] if things else text
