"""Events as lines that people read, in an order that does not depend on which of two tools was faster."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import orjson

from loadtest.transcripts.exchanges import Event

_LONGEST = 400
_BEGINNING = 90
_STEP = re.compile(r"\.p(\d+)\.s(\d+)\b")
_PATH = re.compile(r"^/plan/rounds/(\d+)/steps/(\d+)/")
_UNTOLD = frozenset({"activity", "usage.reported", "message.started", "message.finished", "tool_call.finished"})


def native_lines(events: Sequence[Event]) -> list[str]:
    """The canonical events of a run, a line each; deltas of one message are one line."""
    told = [event for event in events if event.name not in _UNTOLD]
    return [line for event in _merged(_ordered(told)) for line in _line(event)]


def finish_reason(events: Sequence[Event]) -> str:
    """How a streamed completion ended."""
    choices = [choice for event in events for choice in event.data.get("choices", ())]
    return next((str(choice["finish_reason"]) for choice in choices if choice.get("finish_reason")), "nothing")


def text_of(events: Sequence[Event]) -> str:
    """What the run said, whichever protocol it was read in; several messages are parted by a blank line."""
    messages: dict[str, str] = {}
    for event in events:
        if event.name == "message.delta":
            key = event.data["message_id"]
            messages[key] = messages.get(key, "") + event.data["text"]
        for choice in event.data.get("choices", ()) if isinstance(event.data, dict) else ():
            messages["answer"] = messages.get("answer", "") + (choice["delta"].get("content") or "")
    return "\n\n".join(text for text in messages.values() if text)


def _ordered(events: Sequence[Event]) -> Iterator[Event]:
    """Neighbouring events that belong to calls or to steps of a plan are sorted by these, each in its own order."""
    for has_subject, group in itertools.groupby(events, key=lambda event: bool(_subject(event))):
        members = list(group)
        yield from sorted(members, key=_subject) if has_subject else members


def _subject(event: Event) -> str:
    data = event.data
    if event.name == "tool_call.result":
        name = str(data["tool_call_id"])
        found = _STEP.search(name)
        return f"{int(found[1]):02}.{int(found[2]):02}" if found else name
    name = str(data.get("step_id") or data.get("tool_call_id") or "")
    if found := _STEP.search(name):
        return f"{int(found[1]):02}.{int(found[2]):02}"
    if event.name == "state.delta" and (found := _PATH.match(data["patch"][0]["path"])):
        return f"{int(found[1]) + 1:02}.{int(found[2]) + 1:02}"
    return ""


def _merged(events: Iterable[Event]) -> Iterator[Event]:
    """Deltas that follow each other are one."""

    def key(event: Event) -> tuple[str, str]:
        data = event.data
        return event.name, str(data.get("message_id") or data.get("tool_call_id") or "")

    for (name, _), group in itertools.groupby(events, key=key):
        members = list(group)
        field = {"message.delta": "text", "reasoning.delta": "text", "tool_call.args": "delta"}.get(name)
        if field is None:
            yield from members
        else:
            whole = "".join(member.data[field] for member in members)
            yield Event(name, {**members[0].data, field: whole})


def _line(event: Event) -> Iterator[str]:
    told = _TELLERS.get(event.name, _json)(event.data)
    first, *rest = [told] if isinstance(told, str) else told
    yield f"{event.name:<18} {first}".rstrip()
    yield from (f"{'':<18} {text}".rstrip() for text in rest)


def _started(data: Any) -> str:
    parts = [data["agent"], data["model"] or "", f"on {data['thread_id']}" if data["thread_id"] else ""]
    return " ".join(filter(None, parts))


def _call(data: Any) -> str:
    return f"{data['name']}{' at the client' if data['at_client'] else ''}  ({_short_id(data['tool_call_id'])})"


def _result(data: Any) -> list[str]:
    kind = "unknown outcome: " if data["outcome_unknown"] else "error: " if data["is_error"] else ""
    first, *rest = _cut(data["content"]).splitlines() or [""]
    return [f"({_short_id(data['tool_call_id'])})  {kind}{first}", *rest]


def _patch(data: Any) -> list[str]:
    lines = []
    for operation in data["patch"]:
        if operation.get("value") == "":
            continue
        value = orjson.dumps(operation["value"]).decode() if "value" in operation else ""
        lines.append(f"{operation['op']} {operation['path']} {_cut(value)}".rstrip())
    return lines


def _interrupted(data: Any) -> list[str]:
    lines = []
    for interrupt in data["interrupts"]:
        lines += [f"{interrupt['message']}", f"{orjson.dumps(interrupt['details']).decode()}"]
    return lines


def _artifact_patch(data: Any) -> list[str]:
    return [f"{data['artifact_id']} version {data['version']}", *_patch(data)]


def _json(data: Any) -> str:
    return _cut(orjson.dumps({name: value for name, value in data.items() if name not in ("seq", "unix_ms")}).decode())


def _cut(text: str, most: int = _LONGEST) -> str:
    text = text.strip("\n")
    return text if len(text) <= most else f"{text[:most]}…"


def _short_id(identity: str) -> str:
    return identity.partition(".")[2]


_TELLERS: dict[str, Callable[[Any], str | list[str]]] = {
    "run.started": _started,
    "run.finished": lambda data: str(data["finish_reason"]),
    "run.interrupted": _interrupted,
    "run.resumed": lambda data: orjson.dumps(next(iter(data["answers"].values()))).decode(),
    "step.started": lambda data: f"{data['name']}  ({_short_id(data['step_id'])})",
    "step.finished": lambda data: f"{data['name']}  ({_short_id(data['step_id'])})",
    "message.delta": lambda data: _cut(" ".join(data["text"].split()), _BEGINNING),
    "reasoning.delta": lambda data: _cut(" ".join(data["text"].split()), _BEGINNING),
    "tool_call.started": _call,
    "tool_call.args": lambda data: data["delta"],
    "tool_call.result": _result,
    "state.delta": _patch,
    "state.snapshot": lambda data: _cut(orjson.dumps(data["state"]).decode()),
    "artifact.delta": _artifact_patch,
    "artifact.saved": lambda data: f"{data['artifact_id']} version {data['version']}",
}
