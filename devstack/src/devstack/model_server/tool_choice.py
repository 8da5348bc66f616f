"""Chooses the tools that fit a conversation and fills in their arguments."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from devstack.model_server.calls import Call
from devstack.model_server.dialogue import Task, task_of
from devstack.model_server.prose import is_about_the_model, is_echo
from devstack.model_server.understanding.choice import Wanted, arguments_for, repeated, wanted_calls
from devstack.model_server.understanding.offers import Offer, offered

_FOLLOW_UP = re.compile(r"^(?:and|what about|how about|and what about)\s+(?:in |for )?", re.IGNORECASE)


def chosen_calls(call: Call) -> tuple[dict[str, Any], ...]:
    """The tool calls the conversation asks for next, in Ollama's form; none when it is time to answer.

    "… and …" asks for calls side by side, "…, then …" for one after the other.
    """
    if not call.tools:
        return ()
    task = task_of(call.turns)
    functions = next_calls(task, offered(call.tools))
    return tuple(
        {"id": _identity(task, index), "function": {"index": index, "name": name, "arguments": arguments}}
        for index, (name, arguments) in enumerate(functions)
    )


def next_calls(task: Task, offers: Sequence[Offer]) -> list[tuple[str, dict[str, Any]]]:
    """The calls of the first stage that is not done, as name and arguments; a call that was made is not made again."""
    if is_about_the_model(task.request) or is_echo(task.request):
        return []
    made = len(task.calls)
    for stage in _stages(task, offers):
        if made >= len(stage):
            made -= len(stage)
            continue
        calls = [_call(wanted, task) for wanted in stage[made:]]
        made = 0
        unlike: list[tuple[str, dict[str, Any]]] = []
        for call in calls:
            if call not in unlike and call not in task.calls:
                unlike.append(call)
        if unlike:
            return unlike
    return []


def _stages(task: Task, offers: Sequence[Offer]) -> list[list[Wanted]]:
    stages = wanted_calls(task.request, offers)
    if not stages and task.before and _FOLLOW_UP.match(task.request):
        name = _FOLLOW_UP.sub("", task.request)
        stages = wanted_calls(repeated(task.before, name), offers)
    return stages


def _call(wanted: Wanted, task: Task) -> tuple[str, dict[str, Any]]:
    return wanted.tool.name, arguments_for(wanted.tool, wanted.text, task.request, task.results, task.around)


def _identity(task: Task, index: int) -> str:
    seed = f"{task.request}\x00{len(task.calls)}\x00{index}"
    return "call_" + hashlib.blake2b(seed.encode(errors="replace"), digest_size=4).hexdigest()
