"""Where a conversation stands: what was asked last, which calls were made for it, and what they gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from devstack.model_server.calls import Turn
from devstack.model_server.understanding.earlier import Result

MAX_QUESTION = 20_000
MAX_AROUND = 200_000


@dataclass(frozen=True, slots=True)
class Task:
    """What the user wants now. `before` is what the user wanted before that, "" if nothing.

    `around` is everything that was said besides the request, in order.
    """

    request: str
    before: str
    calls: tuple[tuple[str, dict[str, Any]], ...]
    results: tuple[Result, ...]
    around: str = ""


def question_of(turns: Sequence[Turn]) -> str:
    """What the user said last, up to 20,000 characters of it."""
    return next((turn.content for turn in reversed(turns) if turn.role == "user"), "")[:MAX_QUESTION].strip()


def task_of(turns: Sequence[Turn]) -> Task:
    """The task of a conversation with tools.

    What stands between a tool's result and the next answer is a hint of whoever asks the model, not a new request.
    """
    request, before = "", ""
    calls: list[tuple[str, dict[str, Any]]] = []
    results: list[Result] = []
    is_open = False
    for turn in turns:
        if turn.role == "user" and not is_open:
            request, before = turn.content[:MAX_QUESTION].strip(), request
            calls.clear()
            results.clear()
        elif turn.role == "tool":
            is_open = True
            name, arguments = calls[len(results)] if len(results) < len(calls) else (calls[-1] if calls else ("", {}))
            if turn.tool_name and turn.tool_name != name:
                arguments = {}
            results.append(Result(turn.tool_name or name, turn.content, arguments))
        elif turn.role == "assistant":
            is_open = bool(turn.tool_calls)
            for item in turn.tool_calls:
                function = item.get("function")
                function = function if isinstance(function, dict) else {}
                given = function.get("arguments")
                calls.append((str(function.get("name", "")), given if isinstance(given, dict) else {}))
    around = "\n".join(turn.content for turn in turns if turn.content and turn.content.strip() != request)
    return Task(request, before, tuple(calls), tuple(results), around[-MAX_AROUND:])
