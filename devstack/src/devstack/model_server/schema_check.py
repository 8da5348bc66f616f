"""Tells what is no JSON Schema, as far as the development model reads schemas."""

from __future__ import annotations

from collections.abc import Mapping

MAX_DEPTH = 100
MAX_COUNT = 10_000
_LEAST = frozenset({"minLength", "minItems"})
_MOST = frozenset({"maxLength", "maxItems"})
_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_TEXTS = frozenset({"$ref", "pattern", "format", "description"})
_SCHEMAS = frozenset({"items", "additionalProperties"})
_LISTS_OF_SCHEMAS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_NAMED_SCHEMAS = frozenset({"properties", "$defs", "definitions"})


def is_schema(value: object, depth: int = 0) -> bool:
    """Whether every keyword that the model reads has a value of its kind, at every level."""
    if isinstance(value, bool):
        return depth > 0
    if not isinstance(value, Mapping) or depth > MAX_DEPTH:
        return False
    return all(_fits(str(keyword), item, depth + 1) for keyword, item in value.items())


def _fits(keyword: str, value: object, depth: int) -> bool:
    if keyword in _LEAST:  # so much has to be made up
        return _is_number(value) and 0 <= value <= MAX_COUNT  # type: ignore[operator]  # it is a number
    if keyword in _MOST:
        return _is_number(value) and value >= 0  # type: ignore[operator]
    if keyword == "multipleOf":
        return _is_number(value) and value > 0  # type: ignore[operator]
    if keyword in _NUMBERS:
        return _is_number(value)
    if value is None:
        return True  # as good as left out
    if keyword in _TEXTS:
        return isinstance(value, str)
    if keyword in _SCHEMAS:
        return is_schema(value, depth)
    if keyword in _LISTS_OF_SCHEMAS:
        return isinstance(value, list) and all(is_schema(item, depth) for item in value)
    if keyword in _NAMED_SCHEMAS:
        return isinstance(value, Mapping) and all(is_schema(item, depth) for item in value.values())
    if keyword == "type":
        return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))
    if keyword == "required":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return keyword != "enum" or isinstance(value, list)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
