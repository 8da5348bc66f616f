"""Values that fit a JSON Schema, taken from a text where it offers one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from devstack.model_server.schema_shapes import MAX_DEPTH, kind_of, merged, properties_of, required_of, resolved, sized
from devstack.model_server.understanding.concepts import concepts, name_concepts, name_words
from devstack.model_server.understanding.earlier import field_of
from devstack.model_server.understanding.expressions import unspelled
from devstack.model_server.understanding.intents import DATE, URL
from devstack.model_server.understanding.parts import reference_in
from devstack.model_server.understanding.sayings import PLACE, PROPER, QUOTED, Sayings, json_in
from devstack.model_server.words import topic_words, words

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")
_THING = re.compile(r"\b(?:in|at|for|from|to|of|on|with) (?:the|an?|my|our|your) ([a-z][\w-]*(?: room)?)")
_NEGATION = frozenset({"not", "no", "without", "false", "never", "disable", "off"})
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
_OBJECTS = frozenset({"body", "json", "payload", "data", "object", "input", "arguments", "fields"})
_SERIES = frozenset({"numbers", "values", "list", "data", "series", "items"})
_NEUTRAL = concepts("evaluate auto any default general describe normal")
NOTHING: Final = object()
"""The text offers no value."""


class _Grouped(dict[str, Any]):
    """What is to be worked out for each group; makes sense with a grouping only."""


class ValueMaker:
    """Makes values out of one text; numbers of the text are used one after the other."""

    def __init__(self, text: str, root: Mapping[str, Any], said: Sayings | None = None) -> None:
        self._text = text
        self._root = root
        self._said = said or Sayings(text)
        self._numbers = [float(found) for found in _NUMBER.findall(URL.sub(" ", DATE.sub(" ", text)))]
        self._words = set(words(text))

    def value(self, schema: object, name: str = "", depth: int = 0) -> Any:
        """A value that is valid against `schema`, as far as a value can be told from common keywords."""
        schema = resolved(schema, self._root)
        if depth > MAX_DEPTH:
            return None  # it refers to itself without end
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            chosen = self._chosen(schema["enum"])
            return schema.get("default", _neutral(schema["enum"])) if chosen is NOTHING else chosen
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
            return not self._words & _NEGATION
        return None if kind == "null" else self._string(schema, name)

    def offered(self, schema: object, name: str) -> Any:
        """A value that the text itself offers for an argument that may be left out; NOTHING if it does not."""
        schema = resolved(schema, self._root)
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return self._chosen(schema["enum"])
        for keyword in ("anyOf", "oneOf"):
            if isinstance(options := schema.get(keyword), list):
                for option in options:
                    if (
                        found := self.offered({"description": schema.get("description"), **option}, name)
                    ) is not NOTHING:
                        return found
                return NOTHING
        kind, description = kind_of(schema), str(schema.get("description") or "")
        if "type" not in schema and kind == "string":  # anything fits here
            found = json_in(self._text) if set(words(name_words(name))) & _OBJECTS else ""
            return orjson.loads(found) if found else NOTHING
        if kind == "string":
            found = self._said.string(name, description)
            return found if found is not None and self._fits(found, schema) else self._remembered(name, str)
        if kind in ("integer", "number"):
            number = self._said.number(name, description)
            if number is None:
                return self._remembered(name, int if kind == "integer" else float)
            return self._bounded(number, schema, whole=kind == "integer")
        if kind == "boolean":
            return not self._words & _NEGATION if name_concepts(name) <= concepts(self._text) else NOTHING
        if kind == "array":
            return self._listed(schema, name)
        if kind == "object" and not properties_of(schema) and isinstance(schema.get("additionalProperties"), Mapping):
            grouped = self._grouped(schema)
            if grouped is not NOTHING:
                return grouped
        found = json_in(self._text) if kind == "object" and set(words(name_words(name))) & _OBJECTS else ""
        return value if found and isinstance(value := orjson.loads(found), dict) else NOTHING

    def _fits(self, text: str, schema: Mapping[str, Any]) -> bool:
        try:
            return not schema.get("pattern") or bool(re.search(str(schema["pattern"]), text))
        except re.error:
            return False

    def _remembered(self, name: str, kind: type) -> Any:
        """The value that an earlier result has under this name, where the text speaks of an earlier result."""
        if not self._said.results or not reference_in(self._text):
            return NOTHING
        found = field_of(self._said.results, name)
        try:
            return NOTHING if found is None else kind(found)
        except (TypeError, ValueError):
            return NOTHING

    def _listed(self, schema: Mapping[str, Any], name: str) -> Any:
        items = resolved(schema.get("items", {}), self._root)
        if isinstance(options := items.get("enum"), list):
            asked = concepts(self._text)
            return [option for option in options if concepts(str(option)) & asked] or NOTHING
        is_meant = bool(set(words(name_words(name))) & _SERIES or name_concepts(name) & concepts(self._text))
        if kind_of(items) in ("integer", "number"):
            if not is_meant or not self._numbers:
                return NOTHING
            return [int(number) if number == int(number) else number for number in self._numbers]
        if kind_of(items) == "string" and (found := self._said.string(name, str(schema.get("description") or ""))):
            return [found]
        if kind_of(items) == "object":
            record = self._record(properties_of(items))
            return [record] if record and set(required_of(items)) <= set(record) else NOTHING
        found = json_in(self._text)
        return value if found and isinstance(value := orjson.loads(found), list) else NOTHING

    def _record(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """What the text offers of an object; where it asks to group, lists of columns are what is grouped by."""
        record = {key: self.offered(value, key) for key, value in properties.items()}
        record = {key: value for key, value in record.items() if value is not NOTHING}
        groups = any(isinstance(value, str) and "=group" in name_concepts(value) for value in record.values())
        if groups and (by := self._said.string("group_by")):
            record = {key: [by] if isinstance(value, list) else value for key, value in record.items()}
        return record if groups else {key: value for key, value in record.items() if not isinstance(value, _Grouped)}

    def _grouped(self, schema: Mapping[str, Any]) -> Any:
        """{"price": ["mean"]}: what is to be worked out for each group, where that is asked for."""
        options = resolved(resolved(schema.get("additionalProperties"), self._root).get("items"), self._root).get(
            "enum"
        )
        column = self._said.string("column")
        if not isinstance(options, list) or not column or not self._said.string("group_by"):
            return NOTHING
        asked = concepts(self._text)
        return _Grouped({column: [option for option in options if concepts(str(option)) & asked] or options[:1]})

    def _simplest(self, options: Sequence[object], depth: int) -> dict[str, Any]:
        """The first option that is not null; deep down the first that does not nest any further."""
        known = [resolved(option, self._root) for option in options]
        if depth >= MAX_DEPTH // 2:
            flat = [option for option in known if kind_of(option) not in ("object", "array")]
            return (flat or known)[0]
        return next((option for option in known if kind_of(option) != "null"), known[0])

    def _chosen(self, options: Sequence[Any]) -> Any:
        asked = concepts(unspelled(self._text))
        best = max(options, key=lambda option: len(asked & concepts(name_words(str(option)))))
        return best if asked & concepts(name_words(str(best))) else NOTHING

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
        if found is None and (known := self._remembered(name, float)) is not NOTHING:
            found = known
        if found is None:
            default = default if isinstance(default, int | float) else 0.0
            found = self._numbers.pop(0) if self._numbers else float(default)
        elif found in self._numbers:
            self._numbers.remove(found)
        return self._bounded(found, schema, whole=whole)

    def _bounded(self, value: float, schema: Mapping[str, Any], *, whole: bool) -> float | int:
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        step = schema.get("multipleOf") or (1 if whole else 0)
        margin = step or 0.5
        if low is not None and (value < low or value == schema.get("exclusiveMinimum")):
            value = low + (margin if "exclusiveMinimum" in schema else 0)
        if high is not None and (value > high or value == schema.get("exclusiveMaximum")):
            value = high - (margin if "exclusiveMaximum" in schema else 0)
            if low is not None and value <= low:
                value = (low + high) / 2
        if step:
            value = round(value / step) * step
            value = value + step if low is not None and value < low else value
        if abs(value) >= 2**63:
            return float(value)  # the writer of answers knows integers of 64 bits only
        return int(value) if whole or value == int(value) else value

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
        if (known := self._remembered(name, str)) is not NOTHING:
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


def _neutral(options: Sequence[Any]) -> Any:
    """The option for when nothing speaks for another: one that names the usual, else the first."""
    return next((option for option in options if concepts(name_words(str(option))) & _NEUTRAL), options[0])
