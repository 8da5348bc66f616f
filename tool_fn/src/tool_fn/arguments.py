"""The arguments of a tool as a type: its JSON Schema, and strict reading with errors that a model can act on."""

import re
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec

_WHERE: Final = re.compile(r"(.*) - at (?:`key` in )?`\$\.?(.*)`", re.DOTALL)


class Arguments(msgspec.Struct, forbid_unknown_fields=True):
    """What a tool takes: a subclass with a field for each argument.

    Say what a field means, and its limits, with `Annotated[int, Meta(description="…", ge=1)]` (both from msgspec).
    """


A = TypeVar("A", bound=Arguments)


class Reader(Generic[A]):
    """Reads one type of arguments. `schema` is its JSON Schema, without $ref, which not every model understands."""

    def __init__(self, kind: type[A]) -> None:
        """Raises TypeError for a type that has no such schema."""
        self.schema: Mapping[str, Any] = _schema(kind)
        self._decoder = msgspec.json.Decoder(kind)

    def read(self, raw: bytes) -> A:
        """The arguments; white space alone stands for none. Raises ValueError, for the model."""
        try:
            return self._decoder.decode(raw if raw.strip() else b"{}")
        except msgspec.ValidationError as error:
            raise ValueError(f"The arguments do not fit: {self._explain(str(error))}.") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"The arguments are not valid JSON: {error}.") from error
        except RecursionError as error:
            raise ValueError("The arguments are nested too deeply.") from error

    def _explain(self, problem: str) -> str:
        """The problem with its field's name first, and what would have been allowed."""
        found = _WHERE.fullmatch(problem)
        where, what = (found[2], found[1]) if found else ("", problem)
        text = f"{where}: {what}" if where else what
        properties: Mapping[str, Any] = self.schema.get("properties", {})
        if not where and "unknown field" in what:
            text += f"; there are: {', '.join(properties) or 'none'}"
        allowed = properties.get(where, {}).get("enum")
        return f"{text}; allowed: {', '.join(map(repr, allowed))}" if allowed else text


def _schema(kind: type[Arguments]) -> dict[str, Any]:
    if not kind.__struct_config__.forbid_unknown_fields:
        raise TypeError(f"{kind.__name__} must not take unknown fields: make it a subclass of Arguments")
    whole = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(kind)))  # defaults become plain JSON, too
    schema: dict[str, Any] = _inlined(whole, whole.get("$defs", {}), ())
    # Names of Python classes tell a model nothing.
    schema.pop("title", None)
    schema.pop("description", None)
    return schema


def _inlined(part: Any, definitions: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    if isinstance(part, list):
        return [_inlined(item, definitions, inside) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        name = str(part["$ref"]).rpartition("/")[2]
        if name in inside:
            raise TypeError(f"{name} holds itself: arguments have a fixed depth")
        target = {key: value for key, value in definitions[name].items() if key != "title"}
        beside = {key: value for key, value in part.items() if key != "$ref"}
        return _inlined({**target, **beside}, definitions, (*inside, name))
    return {key: _inlined(value, definitions, inside) for key, value in part.items() if key != "$defs"}
