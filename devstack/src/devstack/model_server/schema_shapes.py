"""Reads JSON Schemas: references followed, parts merged, and which kind of value is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MAX_DEPTH = 12


def resolved(schema: object, root: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """`schema` with `$ref` and `allOf` replaced by what they stand for; {} for what is no schema."""
    for _ in range(MAX_DEPTH):
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            break
        target: Any = root
        for step in str(schema["$ref"]).removeprefix("#").strip("/").split("/"):
            step = step.replace("~1", "/").replace("~0", "~")
            target = target.get(step, {}) if isinstance(target, Mapping) and step else target
        target = target if isinstance(target, Mapping) else {}
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    if not isinstance(schema, Mapping):
        return {}
    if isinstance(parts := schema.get("allOf"), list) and depth < MAX_DEPTH:
        rest = {key: value for key, value in schema.items() if key != "allOf"}
        return merged([rest, *(resolved(part, root, depth + 1) for part in parts)])
    return dict(schema)


def merged(schemas: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One schema that wants what all of them want, as far as keywords do not contradict."""
    whole: dict[str, Any] = {}
    for schema in schemas:
        for key, value in schema.items():
            if key == "properties" and isinstance(whole.get(key), Mapping):
                whole[key] = {**whole[key], **value}
            elif key == "required" and isinstance(whole.get(key), list):
                whole[key] = [*whole[key], *value]
            else:
                whole[key] = value
    return whole


def kind_of(schema: Mapping[str, Any]) -> str:
    """The type that a schema wants; guessed from its other keywords where it names none."""
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


def properties_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object's properties."""
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def required_of(schema: Mapping[str, Any]) -> list[str]:
    """The names that an object must have."""
    return [name for name in schema.get("required") or () if isinstance(name, str)]


def sized(text: str, schema: Mapping[str, Any]) -> str:
    """`text` filled up or cut to the lengths that the schema allows."""
    least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", 10**6))
    return text.ljust(least, ".")[:most]
