"""The bytes of an AG-UI stream: server-sent events with one JSON object each, lines that end in LF."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.agui.checker import AguiViolationError, check_events


def parse_stream(raw: bytes) -> list[Mapping[str, Any]]:
    """The events in order. Raises AguiViolationError for anything that an AG-UI client might not read."""
    if b"\r" in raw:
        raise AguiViolationError("a line ends in CR")
    text = raw.decode("utf-8")
    if text and not text.endswith("\n\n"):
        raise AguiViolationError("the last event is cut off")
    events: list[Mapping[str, Any]] = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if not lines:
            continue  # comments only
        if len(lines) != 1 or not lines[0].startswith("data: "):
            raise AguiViolationError(f"not one data line: {block!r}")
        event = json.loads(lines[0].removeprefix("data: "))
        if not isinstance(event, dict):
            raise AguiViolationError(f"not an object: {lines[0]!r}")
        events.append(event)
    return events


def check_stream(raw: bytes, *, state: Any = None, calls: Iterable[str] = ()) -> list[Mapping[str, Any]]:
    """The events of a complete, lawful stream. `state` and `calls`: as for AguiChecker."""
    return check_events(parse_stream(raw), state=state, calls=calls)
