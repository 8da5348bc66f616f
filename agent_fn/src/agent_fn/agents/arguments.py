"""Reads the arguments of a tool call as a model wrote them."""

from collections.abc import Mapping
from typing import Any

import orjson


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
    """What a text that is nearly JSON means: single quotes, bare keys, stray commas, a missing bracket at its end.

    None where something had to be guessed, for instance the end of a string.
    """
    # Loaded by the first run that needs it.
    import json_repair

    value, guesses = json_repair.repair_json(text, return_objects=True, logging=True)
    return value if isinstance(value, dict) and not guesses else None


def _object_in(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
