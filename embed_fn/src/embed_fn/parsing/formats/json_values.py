"""JSON and JSON Lines: each value as lines of a path and what is there."""

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson
from dormouse_runtime.workers.errors import RefusalError

from embed_fn.parsing.cleaning import one_line, tidy
from embed_fn.parsing.document import BlockKind, Piece
from embed_fn.parsing.encodings import whole, whole_lines
from embed_fn.parsing.source import Source, too_large

_MOST_MB: Final = 16
_LINE_CHARACTERS: Final = 4_000_000
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def is_value(text: str) -> bool:
    """Whether this is a whole object or list."""
    try:
        return text[:1] in ("{", "[") and isinstance(orjson.loads(text), dict | list)
    except orjson.JSONDecodeError:
        return False


def value_pieces(source: Source) -> Iterator[Piece]:
    """Of a single value. The members of a list are separate; so are the parts of an object that have parts."""
    if source.size > _MOST_MB * 1_000_000:
        raise too_large("A file that is one JSON value, and this one,", _MOST_MB)
    value = _load(whole(source).strip(), "The file")
    if isinstance(value, list):
        for member in value:
            yield from _record(member)
    elif isinstance(value, dict):
        plain = {name: part for name, part in value.items() if not isinstance(part, dict | list)}
        yield from _record(plain)
        for name, part in value.items():
            if isinstance(part, dict | list):
                if title := one_line(name):
                    yield Piece(BlockKind.HEADING, title[:1000], 1)
                for member in part if isinstance(part, list) else [part]:
                    yield from _record(member)
    else:
        yield from _record(value)


def line_pieces(source: Source) -> Iterator[Piece]:
    """Of a value on each line."""
    for number, line in enumerate(whole_lines(source, _LINE_CHARACTERS), 1):
        if line.strip():
            yield from _record(_load(line, f"Line {number}"))


def _load(text: str, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if "recursion" in str(error).lower() or "depth" in str(error).lower():
            raise RefusalError(f"{what} is nested too deeply for JSON that can be read.") from error
        if _SURROGATE.search(text):
            try:
                return orjson.loads(_SURROGATE.sub("\\\\ufffd", text))
            except orjson.JSONDecodeError:
                pass
        raise RefusalError(f"{what} is no valid JSON: {error.msg[:100]} at character {error.pos + 1}.") from error


def _record(value: Any) -> Iterator[Piece]:
    """A value's leaves, a line each, as one paragraph."""
    text = "\n".join(_leaves(value))
    if text:
        yield Piece(BlockKind.PARAGRAPH, text)


def _leaves(value: Any) -> Iterator[str]:
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        path, part = waiting.pop()
        if isinstance(part, dict):
            below = [(f"{path}.{name}" if path else name, member) for name, member in part.items()]
            waiting.extend(reversed(below))
        elif isinstance(part, list):
            if all(isinstance(member, str | int | float | bool) for member in part):
                part = ", ".join(map(_text, part))
            else:
                waiting.extend((f"{path}[{number}]", part[number]) for number in reversed(range(len(part))))
        if not isinstance(part, dict | list) and (text := _text(part)):
            name = one_line(path)[-300:]
            yield f"{name}: {text}" if name else text


def _text(value: Any) -> str:
    if value is None:
        return ""
    return tidy(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
