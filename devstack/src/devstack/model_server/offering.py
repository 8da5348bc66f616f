"""What a text itself offers for an argument, by the argument's schema and name; nothing is made up."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from devstack.model_server.schema_shapes import kind_of, properties_of, required_of, resolved
from devstack.model_server.understanding.concepts import concepts, name_concepts, name_words
from devstack.model_server.understanding.earlier import field_of
from devstack.model_server.understanding.expressions import unspelled
from devstack.model_server.understanding.finders import json_in
from devstack.model_server.understanding.intents import DATE, URL
from devstack.model_server.understanding.parts import reference_in
from devstack.model_server.understanding.sayings import Sayings
from devstack.model_server.words import words

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")
_NEGATION = frozenset({"not", "no", "without", "false", "never", "disable", "off"})
_OBJECTS = frozenset({"body", "json", "payload", "data", "object", "input", "arguments", "fields"})
_SERIES = frozenset({"numbers", "values", "list", "data", "series", "items"})
_NEUTRAL = concepts("evaluate auto any default general describe normal")
_DEEPEST = 3
NOTHING: Final = object()
"""The text offers no value."""


class _Grouped(dict[str, Any]):
    """What is to be worked out for each group; makes sense with a grouping only."""


class Offering:
    """One text, read with a schema whose references are found in `root`."""

    def __init__(self, text: str, root: Mapping[str, Any], said: Sayings) -> None:
        self._text = text
        self._root = root
        self._said = said
        self.numbers = [float(found) for found in _NUMBER.findall(URL.sub(" ", DATE.sub(" ", text)))]
        """Those that nobody has taken yet."""
        self.is_negative = bool(set(words(text)) & _NEGATION)

    def value(self, schema: object, name: str, depth: int = 0) -> Any:
        """A value that the text itself offers for an argument that may be left out; NOTHING if it does not."""
        schema = resolved(schema, self._root)
        if depth > _DEEPEST:
            return NOTHING  # a request hardly says so much; and a schema may refer to itself without end
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return self.chosen(schema["enum"])
        for keyword in ("anyOf", "oneOf"):
            if isinstance(options := schema.get(keyword), list):
                for option in options:
                    described = {"description": schema.get("description"), **resolved(option, self._root)}
                    if (found := self.value(described, name, depth + 1)) is not NOTHING:
                        return found
                return NOTHING
        kind, description = kind_of(schema), str(schema.get("description") or "")
        if "type" not in schema and kind == "string":  # anything fits here
            found = json_in(self._text) if set(words(name_words(name))) & _OBJECTS else ""
            return orjson.loads(found) if found else NOTHING
        if kind == "string":
            found = self._said.string(name, description)
            return found if found is not None and self._fits(found, schema) else self.remembered(name, str)
        if kind in ("integer", "number"):
            number = self._said.number(name, description)
            if number is None:
                return self.remembered(name, int if kind == "integer" else float)
            return bounded(number, schema, whole=kind == "integer")
        if kind == "boolean":
            return not self.is_negative if name_concepts(name) <= concepts(self._text) else NOTHING
        if kind == "array":
            return self._listed(schema, name, depth)
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

    def remembered(self, name: str, kind: type) -> Any:
        """The value that an earlier result has under this name, where the text speaks of an earlier result."""
        if not self._said.results or not reference_in(self._text):
            return NOTHING
        found = field_of(self._said.results, name)
        try:
            return NOTHING if found is None else kind(found)
        except (TypeError, ValueError):
            return NOTHING

    def _listed(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        items = resolved(schema.get("items", {}), self._root)
        if isinstance(options := items.get("enum"), list):
            asked = concepts(self._text)
            return [option for option in options if concepts(str(option)) & asked] or NOTHING
        is_meant = bool(set(words(name_words(name))) & _SERIES or name_concepts(name) & concepts(self._text))
        if kind_of(items) in ("integer", "number"):
            if not is_meant or not self.numbers:
                return NOTHING
            return [int(number) if number == int(number) else number for number in self.numbers]
        if kind_of(items) == "string" and (found := self._said.string(name, str(schema.get("description") or ""))):
            return [found]
        if kind_of(items) == "object":
            record = self._record(properties_of(items), depth)
            return [record] if record and set(required_of(items)) <= set(record) else NOTHING
        found = json_in(self._text)
        return value if found and isinstance(value := orjson.loads(found), list) else NOTHING

    def _record(self, properties: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """What the text offers of an object; where it asks to group, lists of columns are what is grouped by."""
        record = {key: self.value(value, key, depth + 1) for key, value in properties.items()}
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

    def chosen(self, options: Sequence[Any]) -> Any:
        """The option that shares the most words with the text; NOTHING if none does."""
        asked = concepts(unspelled(self._text))
        best = max(options, key=lambda option: len(asked & concepts(name_words(str(option)))))
        return best if asked & concepts(name_words(str(best))) else NOTHING


def bounded(value: float, schema: Mapping[str, Any], *, whole: bool) -> float | int:
    """`value` brought within the bounds and steps of a schema."""
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


def neutral(options: Sequence[Any]) -> Any:
    """The option for when nothing speaks for another: one that names the usual, else the first."""
    return next((option for option in options if concepts(name_words(str(option))) & _NEUTRAL), options[0])
