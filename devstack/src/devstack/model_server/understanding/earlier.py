"""What tools have given so far, and the values in it that a later part of the request means."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from devstack.model_server.understanding.concepts import concepts, name_concepts

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?![\w])")
_MOST_NUMBERS = 200
_TELLING = ("result", "value", "answer", "total", "output")
_FAILED = re.compile(
    r"^\W*(?:error|failed|failure|cannot|can't|could not|unknown tool|not allowed|invalid|the call (?:failed|was)"
    r"|rejected|timed? ?out|there (?:is|are) no\b|no (?:such|provider))"
    r"|\b(?:is not a tool|did not work|went wrong|rejected this call|was not run\.|was rejected|runs only when)",
    re.IGNORECASE,
)

_EMPTY = re.compile(
    r"\b(?:has no (?:article|entry|results?)|nothing (?:was|is|has been) found|found nothing|0 rows"
    r"|no (?:results?|matches|documents?) (?:were|was|are))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Result:
    """What one call gave. `arguments` as JSON values."""

    tool: str
    content: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether it reads like an error."""
        return bool(_FAILED.search(self.content[:200]))

    @property
    def is_empty(self) -> bool:
        """Whether it says that nothing was found."""
        return says_nothing(self.content[:200])

    @property
    def data(self) -> Any:
        """The content as JSON, None where it is none."""
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError:
            return None


def says_nothing(text: str) -> bool:
    """Whether a text tells that something was not found or failed."""
    return bool(_EMPTY.search(text) or re.search(r"\bfailed:", text))


def value_of(result: Result, wanted: str = "") -> str:
    """The number that a result tells; with `wanted` the one that is called something like it. "" if there is none."""
    data = result.data
    if isinstance(data, int | float) and not isinstance(data, bool):
        return f"{data}"
    named = [(name, value) for name, value in _leaves(data) if _numeric(value)]
    asked = concepts(wanted)
    for name, value in named:
        if name_concepts(name) & asked:
            return str(value)
    for name, value in named:
        if name in _TELLING:
            return str(value)
    if named:
        return str(named[0][1])
    return _in_text(result.content, wanted)


def field_of(results: Sequence[Result], name: str) -> Any:
    """The value that the newest result has under this name; `user_id` is found as `id` too. None if nobody has it."""
    last = name.rpartition("_")[2]
    for wanted in dict.fromkeys((name, last)):
        for result in reversed(results):
            for found, value in _leaves(result.data):
                if found == wanted and value is not None:
                    return value
        pattern = re.compile(rf"\b{re.escape(wanted)}\b\"?\s*[:=|]\s*\"?([\w@.+-]+)", re.IGNORECASE)
        for result in reversed(results):
            if said := pattern.search(result.content):
                return said.group(1)
    return None


def _leaves(data: object, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _leaves(value, str(key))
    elif isinstance(data, list):
        for item in data:
            yield from _leaves(item, name)
    else:
        yield name, data


def _numeric(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float) or (isinstance(value, str) and bool(_NUMBER.fullmatch(value.strip())))


def _in_text(text: str, wanted: str) -> str:
    asked = concepts(wanted)
    numbers = list(itertools.islice(_NUMBER.finditer(text), _MOST_NUMBERS))
    for found in numbers:
        if concepts(text[max(0, found.start() - 40) : found.start()].rpartition("\n")[2]) & asked:
            return found.group().replace(",", "")
    if said := re.search(r"[=≈]\s*(-?\d+(?:\.\d+)?)\s*(?:$|\n|[^\w.*/+^-])", text):
        return said.group(1)
    return numbers[0].group().replace(",", "") if numbers else ""
