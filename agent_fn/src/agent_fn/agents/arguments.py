"""Reads the arguments of a tool call as a model wrote them."""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

_FENCE_LINE: Final = re.compile(r"^[ \t]*```.*$", re.MULTILINE)
# Of what json_repair notes: what no two readers would read differently.
_HARMLESS: Final = (
    "Converted unquoted Python",
    "Found block comment",
    "While parsing an array we missed the closing ]",
)


class UnreadableError(Exception):
    """They cannot be read; the text tells the model why."""


def read_arguments(text: str) -> Mapping[str, Any]:
    """The arguments as an object. What is no JSON is repaired where it can only mean one thing.

    Raises UnreadableError.
    """
    try:
        value = orjson.loads(text or "{}")
    except orjson.JSONDecodeError as error:
        value = repaired(text)
        if value is None:
            raise UnreadableError(f"The arguments are not valid JSON: {error}.") from error
    if isinstance(value, str):  # some models write the object as a string in JSON
        value = _object_in(value)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UnreadableError("The arguments are not a JSON object.")
    return value


def repaired(text: str) -> Any:
    """What a text that is nearly JSON means: a fence around it, single quotes, stray commas, a missing bracket.

    None where something had to be guessed, for instance the end of a string.
    """
    # Loaded by the first run that needs it.
    import json_repair

    text = _FENCE_LINE.sub("", text).strip()
    value, notes = json_repair.repair_json(text, return_objects=True, logging=True)
    guesses = [note for note in notes if not str(note["text"]).startswith(_HARMLESS)]
    return value if isinstance(value, dict) and not guesses else None


def _object_in(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
