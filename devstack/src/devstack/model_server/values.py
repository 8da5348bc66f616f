"""Values that fit a JSON Schema, taken from a text where it offers one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from devstack.model_server.words import stems, topic_words, words

MAX_DEPTH = 12
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")
_QUOTED = re.compile(r"[\"“`']([^\"”`']{1,200})[\"”`'](?!\w)")
_URL = re.compile(r"https?://[^\s<>\"')]+")
_EXPRESSION = re.compile(r"[-+(]*\d[\d\s.+\-*/^%()]*[\d)]")
_PROPER = re.compile(r"(?<![.!?] )(?<!^)\b([A-ZÀ-Þ][\w'\u2019-]+(?: [A-ZÀ-Þ][\w'\u2019-]+)*)")
_PLACE = re.compile(r"\b(?:in|at|near|from|to|for|of) ([A-ZÀ-Þ][\w'\u2019-]+(?:,? [A-ZÀ-Þ][\w'\u2019-]+)*)")
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
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
    "a",
    "A",
    "0",
    "1",
    "ab",
    "abc",
    "ABC",
    "AB",
    "12",
    "123",
    "1234",
    "12345",
    "2026-01-01",
    "a1",
    "A1",
    "a-b",
)
_WHOLE_TEXT = frozenset(
    {"query", "question", "text", "prompt", "input", "message", "content", "request", "task", "search", "q"}
)
_PLACES = frozenset({"city", "location", "place", "country", "town", "region", "address", "destination", "origin"})


class ValueMaker:
    """Makes values out of one text; numbers of the text are used one after the other."""

    def __init__(self, text: str, root: Mapping[str, Any]) -> None:
        self._text = text
        self._root = root
        self._numbers = [float(found) for found in _NUMBER.findall(_URL.sub(" ", _DATE.sub(" ", text)))]
        self._words = set(words(text))

    def value(self, schema: object, name: str = "", depth: int = 0) -> Any:
        """A value that is valid against `schema`, as far as a value can be told from common keywords."""
        schema = self._resolved(schema)
        if depth > MAX_DEPTH:
            return None  # it refers to itself without end
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return self._chosen(schema["enum"])
        for keyword in ("anyOf", "oneOf"):
            if isinstance(options := schema.get(keyword), list) and options:
                rest = {key: value for key, value in schema.items() if key != keyword}
                return self.value(_merged([rest, self._resolved(self._simplest(options, depth))]), name, depth + 1)
        kind = _kind(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in ("integer", "number"):
            return self._number(schema, whole=kind == "integer")
        if kind == "boolean":
            return not self._words & {"not", "no", "without", "false", "never", "disable", "off"}
        return None if kind == "null" else self._string(schema, name)

    def _resolved(self, schema: object, depth: int = 0) -> dict[str, Any]:
        for _ in range(MAX_DEPTH):
            if not isinstance(schema, Mapping) or "$ref" not in schema:
                break
            target: Any = self._root
            for step in str(schema["$ref"]).removeprefix("#").strip("/").split("/"):
                step = step.replace("~1", "/").replace("~0", "~")
                target = target.get(step, {}) if isinstance(target, Mapping) and step else target
            target = target if isinstance(target, Mapping) else {}
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        if not isinstance(schema, Mapping):
            return {}
        if isinstance(parts := schema.get("allOf"), list) and depth < MAX_DEPTH:
            rest = {key: value for key, value in schema.items() if key != "allOf"}
            return _merged([rest, *(self._resolved(part, depth + 1) for part in parts)])
        return dict(schema)

    def _simplest(self, options: Sequence[object], depth: int) -> object:
        """The first option that is not null; deep down the first that does not nest any further."""
        resolved = [self._resolved(option) for option in options]
        if depth >= MAX_DEPTH // 2:
            flat = [option for option in resolved if _kind(option) not in ("object", "array")]
            return (flat or resolved)[0]
        return next((option for option in resolved if _kind(option) != "null"), resolved[0])

    def _chosen(self, options: Sequence[Any]) -> Any:
        asked = stems(self._text)
        best = max(options, key=lambda option: len(asked & stems(str(option))))
        return best if asked & stems(str(best)) else options[0]

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, Mapping) else {}
        required = [key for key in schema.get("required") or () if isinstance(key, str)]
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
        resolved = self._resolved(items)
        if not made and _kind(resolved) == "string" and not {"enum", "const", "format", "pattern"} & set(resolved):
            topics = topic_words(self._text) or ["nothing"]
            made = [_sized(topic, resolved) for topic in topics[: min(most, max(least, 3))]]
        while len(made) < min(most, max(least, 1)):
            made.append(
                self._another(resolved, name, depth, made)
                if schema.get("uniqueItems")
                else self.value(resolved, name, depth + 1)
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

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> float | int:
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        default = schema.get("default")
        default = float(default) if isinstance(default, int | float) else 0.0
        value = self._numbers.pop(0) if self._numbers else default
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
        if pattern := schema.get("pattern"):
            return self._matching(str(pattern), schema, name)
        if (wanted := schema.get("format")) in _FORMATS:
            found = (
                _URL.search(self._text) if wanted == "uri" else _DATE.search(self._text) if wanted == "date" else None
            )
            return found.group() if found else _FORMATS[wanted]
        return _sized(self._said(name.lower(), str(schema.get("description") or "").lower()), schema)

    def _matching(self, pattern: str, schema: Mapping[str, Any], name: str) -> str:
        tries = [
            *_NUMBER.findall(self._text),
            *self._text.split(),
            self._said(name, ""),
            *_PATTERN_TRIES,
            *_FORMATS.values(),
        ]
        least, most = schema.get("minLength", 0), schema.get("maxLength", 10**6)
        try:
            expression = re.compile(pattern)
        except re.error:
            return _sized(self._said(name, ""), schema)
        return next((text for text in tries if least <= len(text) <= most and expression.search(text)), "a")

    def _said(self, name: str, description: str) -> str:
        """The part of the text that an argument of this name most likely means."""
        text = self._text.strip()
        parts = set(words(name.replace("_", " ")))
        if ("url" in parts or "uri" in parts or "link" in parts) and (found := _URL.search(text)):
            return found.group()
        if {"date", "day"} & parts and (found := _DATE.search(text)):
            return found.group()
        if {"expression", "formula", "calculation", "equation"} & parts and (found := _EXPRESSION.search(text)):
            return found.group().strip()
        if found := _QUOTED.search(text):
            return found.group(1)
        placed = (parts | set(words(description))) & _PLACES
        if placed and (found := _PLACE.search(text) or _PROPER.search(text)):
            return found.group(1)
        if parts & _WHOLE_TEXT or not text:
            return text or name or "text"
        if found := _PROPER.search(text):
            return found.group(1)
        return text


def _kind(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((option for option in kind if option != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "required" in schema or "additionalProperties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"} & set(schema):
        return "number"
    return "string"


def _merged(schemas: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for schema in schemas:
        for key, value in schema.items():
            if key == "properties" and isinstance(merged.get(key), Mapping):
                merged[key] = {**merged[key], **value}
            elif key == "required" and isinstance(merged.get(key), list):
                merged[key] = [*merged[key], *value]
            else:
                merged[key] = value
    return merged


def _sized(text: str, schema: Mapping[str, Any]) -> str:
    least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", 10**6))
    return text.ljust(least, ".")[:most]
