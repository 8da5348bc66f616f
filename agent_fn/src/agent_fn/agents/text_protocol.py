"""Tool calls as text, for models that were not taught to call tools.

The system prompt lists the tools and asks for calls of the form

    <tool_call>
    {"name": "weather", "arguments": {"city": "Oslo"}}
    </tool_call>

What may be a call is held back while it is streamed. Small models get the form wrong in many ways: code fences, bare
JSON, the forms of other protocols, other keys. Whatever can only mean one call is taken as that.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from agent_fn.agents.text_calls import UnreadableCallError, calls_in
from agent_fn.conversation import Message, text_of
from agent_fn.generation import ToolDefinition
from agent_fn.models.port import RequestedTool

FORMAT: Final = (
    'To call a tool, write exactly this and nothing behind it:\n<tool_call>\n{"name": "tool_name", "arguments": {…}}\n'
    "</tool_call>\nSeveral calls that do not depend on each other may follow each other. The results come with the "
    "next message; never write them yourself."
)
# What a call begins with: inside of a line, at the beginning of one.
_MARKERS: Final = ("<tool_call", "<|tool_call", "<function", "[TOOL_CALLS]", "<|python_tag|>")
_BEGIN: Final = re.compile(
    "|".join(re.escape(marker) for marker in _MARKERS)
    + r"|^[ \t]*(?:```[ \t]*(?:json|tool_calls?|tools?)?[ \t]*\n\s*[{\[]|\{\s*[\"'\w]|\[\s*\{|Action[ \t]*:)",
    re.MULTILINE,
)
_FENCE_END: Final = re.compile(r"\n[ \t]*```")
# The end of a text that may become the beginning of a call.
_MAY_BEGIN: Final = re.compile(
    r"^[ \t]*(?:`{1,2}|```[ \t]*\w*[ \t]*|```[ \t]*(?:json|tool_calls?|tools?)?[ \t]*\n\s*|[{\[]\s*"
    r"|A|Ac|Act|Acti|Actio|Action[ \t]*)\Z",
    re.MULTILINE,
)


def with_tools(messages: Sequence[Message], tools: Sequence[ToolDefinition]) -> list[Message]:
    """The conversation for a model that knows of tools by text only: the tools told, calls and results as text."""
    told = [_as_text(message) for message in messages]
    merged: list[Message] = []
    for message in told:
        if merged and message["role"] == "user" == merged[-1]["role"] and message["id"].endswith(_RESULT):
            merged[-1] = Message(
                id=message["id"], role="user", content=[{"text": f"{text_of(merged[-1])}\n{text_of(message)}"}]
            )
        else:
            merged.append(message)
    if not tools:
        return merged
    listed = "\n".join(_listed(tool) for tool in tools)
    return with_system(merged, f"You can call these tools:\n{listed}\n\n{FORMAT}")


def with_system(messages: Sequence[Message], text: str) -> list[Message]:
    """The conversation with a text of the agent's own before the client's."""
    rest = list(messages)
    if rest and rest[0]["role"] == "system":
        # In one message, because many templates know one only.
        text = f"{text}\n\n{text_of(rest.pop(0))}"
    return [Message(id="system", role="system", content=[{"text": text}]), *rest]


_RESULT: Final = ".as_text"


def _as_text(message: Message) -> Message:
    if message["role"] == "tool":
        text = f'<tool_result name="{message.get("name", "")}">\n{text_of(message)}\n</tool_result>'
        return Message(id=message["id"] + _RESULT, role="user", content=[{"text": text}])
    if calls := message.get("tool_calls"):
        written = [
            f'<tool_call>\n{{"name": {orjson.dumps(call["name"]).decode()}, "arguments": '
            f"{call['arguments_json'] or '{}'}}}\n</tool_call>"
            for call in calls
        ]
        text = "\n".join([*filter(None, [text_of(message)]), *written])
        return Message(id=message["id"], role="assistant", content=[{"text": text}])
    return message


def _listed(tool: ToolDefinition) -> str:
    parameters = tool.parameters_json_schema or "{}"
    return f"- {tool.name}: {tool.description} Arguments, as JSON Schema: {parameters}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer was.

    `text` is the rest that is to be shown, `pieces` how many of the model's that are; `problem` tells the model why a
    call was not understood.
    """

    text: str = ""
    pieces: int = 0
    calls: Sequence[RequestedTool] = ()
    problem: str = ""


class CallReader:
    """Reads an answer as it comes, and holds back what may be a call.

    `names` are the tools' names. `before` is what the message holds already. `holds_all`: nothing is shown before the
    end, and then only an answer without calls.
    """

    def __init__(self, names: Sequence[str], *, before: str = "", holds_all: bool = False) -> None:
        self._names = frozenset(names)
        self._holds_all = holds_all
        self._held = ""
        self._last = before[-1:]
        self._is_call = False
        self._block: _JsonEnd | _FenceEnd | _NoEnd | None = None
        self._pieces = 0

    def feed(self, text: str, pieces: int) -> tuple[str, int]:
        """What is to be shown now, and how many of the model's pieces that are."""
        self._held += text
        self._pieces += pieces
        shown = "" if self._holds_all else self._released()
        if not shown:
            return "", 0
        self._last = shown[-1]
        told = max(self._pieces - 1, 1) if self._held else self._pieces
        self._pieces -= told
        return shown, told

    def finish(self) -> Reading:
        """The answer is complete."""
        shown = ""
        if self._holds_all:
            begin = self._begin(self._held)
            if begin is None:
                return Reading(self._held, self._pieces)
            shown, self._held = self._held[:begin], self._held[begin:]
        try:
            calls = calls_in(self._held, self._names, is_marked=self._held.startswith(_MARKERS))
        except UnreadableCallError as unreadable:
            return Reading(problem=str(unreadable))
        return Reading(calls=calls) if calls else Reading(shown + self._held, self._pieces)

    def _released(self) -> str:
        shown = ""
        while self._held and not self._is_call:
            if self._block is None:
                begin = self._begin(self._held)
                at = self._may_begin(self._held) if begin is None else begin
                shown, self._held = shown + self._held[:at], self._held[at:]
                self._last = shown[-1:] or self._last
                if begin is None:
                    break
                self._is_call = self._held.startswith(_MARKERS)
                self._block = _block(self._held)
                continue
            end = self._block.find(self._held)
            if end is None:
                break
            self._block = None
            self._is_call = self._has_call(self._held[:end])
            if not self._is_call:
                shown, self._held = shown + self._held[:end], self._held[end:]
                self._last = shown[-1]
        return shown

    def _has_call(self, block: str) -> bool:
        try:
            return bool(calls_in(block, self._names, is_marked=False))
        except UnreadableCallError:
            return True

    def _begin(self, text: str) -> int | None:
        """Where a call may have begun."""
        context = self._context()
        found = _BEGIN.search(context + text)
        return None if found is None else max(found.start() - len(context), 0)

    def _may_begin(self, text: str) -> int:
        """From where on the text may yet become a call; its length if nowhere."""
        context = self._context()
        found = _MAY_BEGIN.search(context + text)
        at = len(text) if found is None else max(found.start() - len(context), 0)
        for marker in _MARKERS:
            for length in range(min(len(marker) - 1, len(text)), 0, -1):
                if text.endswith(marker[:length]):
                    at = min(at, len(text) - length)
                    break
        return at

    def _context(self) -> str:
        """Stands for what is shown already: a text that follows a character is at no line's beginning."""
        return "" if self._last in ("", "\n") else "."


class _JsonEnd:
    """Finds the end of a JSON value that grows, by its brackets outside of strings: enough for what is nearly JSON."""

    def __init__(self) -> None:
        self._at = 0
        self._depth = 0
        self._is_quoted = False
        self._is_escaped = False

    def find(self, text: str) -> int | None:
        """The end; None while there is none."""
        for at in range(self._at, len(text)):
            character = text[at]
            if self._is_escaped:
                self._is_escaped = False
            elif self._is_quoted:
                self._is_escaped = character == "\\"
                self._is_quoted = character != '"'
            elif character == '"':
                self._is_quoted = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                if self._depth == 0:
                    return at + 1
        self._at = len(text)
        return None


class _FenceEnd:
    """Finds the closing line of a code fence."""

    def __init__(self, begin: int) -> None:
        self._at = begin

    def find(self, text: str) -> int | None:
        """The end of that line's fence; None while there is none."""
        found = _FENCE_END.search(text, self._at)
        if found is None:
            # The line that is under way has to be looked at again.
            self._at = max(text.rfind("\n"), self._at)
            return None
        return found.end()


class _NoEnd:
    """What lasts until the message ends."""

    def find(self, text: str) -> int | None:
        """None."""
        return None


def _block(text: str) -> _JsonEnd | _FenceEnd | _NoEnd:
    """For what may be a call and has just begun."""
    begun = text.lstrip(" \t")
    if begun.startswith("```"):
        return _FenceEnd(text.index("\n"))
    return _JsonEnd() if begun.startswith(("{", "[")) and not begun.startswith(_MARKERS) else _NoEnd()
