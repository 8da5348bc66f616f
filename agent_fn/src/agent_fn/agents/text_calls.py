"""Finds tool calls in a model's text, whichever of the usual forms it has written them in."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from agent_fn.agents.arguments import repaired
from agent_fn.models.port import RequestedTool

_NAME_KEYS: Final = ("name", "tool_name", "tool", "function_name", "function", "action", "recipient_name")
_ARGUMENT_KEYS: Final = ("arguments", "args", "parameters", "params", "input", "action_input", "tool_input", "kwargs")
_TAGGED: Final = re.compile(
    r"<\|?tool_call\|?>(?P<json>.*?)(?:<\|?/?tool_call\|?>|</tool_calls?>|\Z)"
    r"|<function(?:=|\s+name=[\"']?)(?P<name>[\w.-]+)[\"']?>(?P<arguments>.*?)(?:</function>|\Z)",
    re.DOTALL,
)
_LISTED: Final = re.compile(r"(?:\[TOOL_CALLS\]|<\|python_tag\|>)(?P<json>.*)", re.DOTALL)
_ACTION: Final = re.compile(
    r"^[ \t]*Action[ \t]*:[ \t]*(?P<name>[^\n]+)\n[ \t]*Action[ \t]+Input[ \t]*:(?P<arguments>.*?)"
    r"(?=^[ \t]*(?:Observation|Thought|Action)[ \t]*:|\Z)",
    re.DOTALL | re.MULTILINE,
)
_FENCE_LINE: Final = re.compile(r"^[ \t]*```.*$", re.MULTILINE)


class UnreadableCallError(Exception):
    """Something is meant to be a call and cannot be read; the text tells the model why."""


def calls_in(text: str, names: frozenset[str], *, is_marked: bool) -> list[RequestedTool]:
    """The calls in a text, in order; none where it has none.

    `is_marked`: its form says that it is a call. If not, only what names a known tool is one. Raises
    UnreadableCallError.
    """
    calls: list[RequestedTool] = []
    for name, body in _bodies(text):
        if name:
            calls.append(_call(name, _value(body) if body.strip() else {}))
            continue
        for value in _values(body, is_marked=is_marked or any(name in body for name in names)):
            found = _read(value, names, is_marked=is_marked)
            if found is not None:
                calls.append(found)
    if not calls and is_marked:
        raise UnreadableCallError("The call has no name.")
    return calls


def _bodies(text: str) -> Iterator[tuple[str, str]]:
    """The parts that may be calls: a name where that stands outside of the JSON, and the JSON."""
    tagged = list(_TAGGED.finditer(text))
    actions = [] if tagged else list(_ACTION.finditer(text))
    for match in tagged or actions:
        groups = match.groupdict()
        if groups.get("name"):
            yield groups["name"].strip().strip("`\"'"), groups["arguments"]
        else:
            yield "", groups["json"]
    if tagged or actions:
        return
    listed = _LISTED.search(text)
    yield "", listed["json"] if listed else text


def _values(text: str, *, is_marked: bool) -> Iterator[Any]:
    """The JSON values that follow each other in a text, those of a list one by one; what stands behind is dropped."""
    text = _FENCE_LINE.sub("", text).strip()
    begin = re.search(r"[{\[]", text)
    if begin is None:
        if is_marked:
            raise UnreadableCallError("There is no JSON object in the call.")
        return
    text = text[begin.start() :]
    while text.startswith(("{", "[")):
        end = _length(text)
        value = _value(text[:end], is_marked=is_marked)
        yield from value if isinstance(value, list) else [value]
        text = text[end:].lstrip(" \t\r\n,;")


def _value(text: str, *, is_marked: bool = True) -> Any:
    text = _FENCE_LINE.sub("", text).strip()
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        value = repaired(text)
        if value is None and is_marked:
            raise UnreadableCallError(f"The call is not valid JSON: {error}.") from error
        return value


def _read(value: Any, names: frozenset[str], *, is_marked: bool) -> RequestedTool | None:
    if not isinstance(value, Mapping):
        return None
    value = dict(value)
    for key in _NAME_KEYS:
        name = value.get(key)
        if isinstance(name, Mapping):  # OpenAI's {"function": {"name", "arguments"}}
            return _read(name, names, is_marked=is_marked)
        name = name.removeprefix("functions.") if isinstance(name, str) else ""
        if name and (is_marked or name in names):
            del value[key]
            return _call(name, _arguments(value))
    if len(value) == 1:  # {"weather": {"city": "Oslo"}}
        [(name, arguments)] = value.items()
        if name in names and isinstance(arguments, Mapping):
            return _call(name, arguments)
    return None


def _arguments(rest: Mapping[str, Any]) -> Any:
    for key in _ARGUMENT_KEYS:
        if key in rest:
            return rest[key]
    # Some write them beside the name.
    return {key: value for key, value in rest.items() if key not in ("id", "type", "thought", "reasoning")}


def _call(name: str, arguments: Any) -> RequestedTool:
    if isinstance(arguments, str):
        return RequestedTool(name, arguments)
    return RequestedTool(name, orjson.dumps({} if arguments is None else arguments).decode())


def _length(text: str) -> int:
    """How much of the text the JSON value takes that it begins with; all of it where that has no end."""
    depth, quote, escaped = 0, "", False
    for at, character in enumerate(text):
        if escaped:
            escaped = False
        elif quote:
            escaped = character == "\\"
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "{[":
            depth += 1
        elif character in "}]":
            depth -= 1
            if depth == 0:
                return at + 1
    return len(text)
