"""Follows a form of tool calls that a prompt shows by an example, for models that are offered no tools."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from devstack.model_server.calls import Call, Turn
from devstack.model_server.understanding.material import listed_tools

# {"name": "tool_name", "arguments": {…}} on a line of its own, between a line before it and a line behind it.
_EXAMPLE = re.compile(
    r"^(?P<before>\S[^\n]{0,40})\n\{\s*\"(?P<name>\w+)\":\s*\"[^\"\n]*\",\s*\"(?P<arguments>\w+)\":\s*\{[^\n]*\}\s*\}\n"
    r"(?P<behind>\S[^\n]{0,40})$",
    re.MULTILINE,
)
_RESULT = re.compile(
    r"<(?P<tag>\w*(?:result|output|response|observation)\w*)(?:[ \t]+name=[\"'](?P<name>[^\"'\n]*)[\"'])?[^>\n]*>\n?"
    r"(?P<content>.*?)\n?</(?P=tag)>",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Form:
    """How a call is written: an object with these two keys between two lines."""

    before: str
    name: str
    arguments: str
    behind: str

    def written(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> str:
        """These calls as text."""
        shown = [orjson.dumps({self.name: name, self.arguments: arguments}).decode() for name, arguments in calls]
        return "\n".join(f"{self.before}\n{call}\n{self.behind}" for call in shown)

    def read(self, text: str) -> list[dict[str, Any]]:
        """The calls in what the model has said before, in Ollama's form."""
        found = []
        for part in text.split(f"{self.before}\n")[1:]:
            try:
                call = orjson.loads(part.partition(f"\n{self.behind}")[0])
            except orjson.JSONDecodeError:
                continue
            if isinstance(call, dict) and self.name in call:
                found.append({"function": {"name": call[self.name], "arguments": call.get(self.arguments, {})}})
        return found


def translated(call: Call) -> tuple[Call, Form] | None:
    """The request as if its tools had been offered and called in the usual way; None where no form is shown."""
    if call.tools or call.format is not None:
        return None
    system = "\n\n".join(turn.content for turn in call.turns if turn.role == "system")
    example = _EXAMPLE.search(system)
    tools = listed_tools(system) if example else []
    if example is None or not tools:
        return None
    form = Form(example["before"], example["name"], example["arguments"], example["behind"])
    functions = [
        {"function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters}}
        for tool in tools
    ]
    turns = [turn for spoken in call.turns for turn in _turns(spoken, form)]
    return replace(call, turns=tuple(turns), tools=tuple(functions)), form


def _turns(turn: Turn, form: Form) -> list[Turn]:
    if turn.role == "assistant" and (calls := form.read(turn.content)):
        return [Turn("assistant", tool_calls=tuple(calls))]
    if turn.role == "user" and (results := list(_RESULT.finditer(turn.content))):
        told = [Turn("tool", found["content"], tool_name=found["name"] or "") for found in results]
        rest = _RESULT.sub("", turn.content).strip()
        return [*told, Turn("user", rest)] if rest else told
    return [turn]
