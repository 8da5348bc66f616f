"""Answers written beforehand: a test says what the model is to say, tool calls and mistakes included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from devstack.model_server.calls import Call, Turn
from devstack.model_server.frames import Answer

_KEPT = 1000


class ScriptError(ValueError):
    """A line that cannot be spoken; the message says why."""


@dataclass(slots=True)
class Line:
    """One answer, for the next `times` requests that match (0 = all of them).

    A tool call is {"name", "arguments"}; one with a "function" goes out as it stands, however broken. `contains` wants
    the text in some message, `results` so many tool results since the user spoke last, `formatted` a request that
    asks for JSON (or for none). What continues an answer of the script gets the rest of that answer.
    """

    content: str = ""
    thinking: str = ""
    tool_calls: list[Any] = field(default_factory=list)
    length: bool = False
    times: int = 1
    model: str = ""
    contains: str = ""
    results: int = -1
    formatted: bool | None = None

    @classmethod
    def parse(cls, values: object) -> Line:
        """A line from a JSON object. Raises ScriptError."""
        if not isinstance(values, Mapping):
            raise ScriptError("a line is a JSON object")
        known = {item.name: item for item in fields(cls)}
        if unknown := set(values) - set(known):
            raise ScriptError(f"a line has no {', '.join(sorted(unknown))}; it has {', '.join(known)}")
        for name in ("content", "thinking", "model", "contains"):
            if not isinstance(values.get(name, ""), str):
                raise ScriptError(f"{name} wants a string")
        for name in ("times", "results"):
            value = values.get(name, 0)
            if isinstance(value, bool) or not isinstance(value, int):
                raise ScriptError(f"{name} wants an integer")
        calls = values.get("tool_calls", [])
        if not isinstance(calls, list) or not all(isinstance(call, Mapping) for call in calls):
            raise ScriptError("tool_calls wants a list of objects")
        return cls(**values)

    def answer(self) -> Answer:
        """What goes out."""
        calls = tuple(_called(call, index) for index, call in enumerate(self.tool_calls))
        return Answer(self.content, self.thinking, calls, length=self.length)

    def fits(self, model: str, call: Call, turns: tuple[Turn, ...]) -> bool:
        """Whether it is for this request."""
        return (
            self.model in ("", model, model.removesuffix(":latest"))
            and (not self.contains or any(self.contains in turn.content for turn in turns))
            and self.results in (-1, _results(turns))
            and (self.formatted is None or self.formatted == (call.format is not None))
        )


class Script:
    """The lines that are waiting, in the order in which they are tried."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._spoken: dict[str, Answer] = {}

    def replace(self, lines: list[Line]) -> None:
        """Drop what is waiting and wait with these."""
        self._lines = list(lines)
        self._spoken.clear()

    def add(self, lines: list[Line]) -> None:
        """Queue more behind what is waiting."""
        self._lines += lines

    def shown(self) -> list[dict[str, Any]]:
        """What is waiting, as JSON."""
        return [asdict(line) for line in self._lines]

    def take(self, model: str, call: Call) -> Answer | None:
        """The answer written for this request, if there is one; counts it."""
        if not self._lines and not self._spoken:
            return None
        turns = call.conversation
        key = f"{model} {turns}"
        if call.begun is not None and (spoken := self._spoken.get(key)) is not None:
            return spoken
        for line in self._lines:
            if line.fits(model, call, turns):
                if line.times == 1:
                    self._lines.remove(line)
                elif line.times:
                    line.times -= 1
                if len(self._spoken) >= _KEPT:
                    self._spoken.clear()
                answer = self._spoken[key] = line.answer()
                return answer
        return None


def _called(call: Mapping[str, Any], index: int) -> dict[str, Any]:
    if "function" in call or "name" not in call:
        return dict(call)
    return {
        "id": f"call_{index}",
        "function": {"index": index, "name": call["name"], "arguments": call.get("arguments", {})},
    }


def _results(turns: tuple[Turn, ...]) -> int:
    count = 0
    for turn in turns:
        count = 0 if turn.role == "user" else count + (turn.role == "tool")
    return count
