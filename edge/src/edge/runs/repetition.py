"""What a run's log tells already, so that a repeated attempt does not tell it twice."""

from dormouse.agent.v1.run_event_pb2 import RunEvent

CHECKED = frozenset(
    (
        "step_started",
        "step_finished",
        "message_started",
        "message_finished",
        "citation",
        "tool_call_started",
        "tool_call_args",
        "tool_call_finished",
        "tool_result",
    )
)
"""Kinds of events that a repeated attempt may say again."""


class Told:
    """Steps, messages and calls by their ids, which are the same in every attempt; each begins and ends once.

    Deltas of messages are not among them: an attempt says only what is new. Neither is the state, for an attempt is
    told what it was, nor what an activity tells, which is no part of the run.
    """

    __slots__ = ("_arguments", "_said", "_told")

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._arguments: dict[str, int] | None = None
        """How many characters of a call's arguments the log holds."""
        self._said: dict[str, int] | None = None
        """How many the present attempt has said."""

    def begin_attempt(self) -> None:
        """From now on another attempt speaks."""
        self._said = None

    def take(self, event: RunEvent, kind: str) -> None:
        """Notes what the log tells with this event, whose field name is `kind`."""
        if kind == "tool_call_args":
            call = event.tool_call_args
            self._arguments = self._arguments or {}
            self._arguments[call.tool_call_id] = self._arguments.get(call.tool_call_id, 0) + len(call.delta)
        else:
            self._told.add(_key(event, kind))

    def is_repetition(self, event: RunEvent, kind: str) -> bool:
        """Whether the log tells this already. Of a call's arguments what it does not tell is left in the event."""
        return self._is_told(event) if kind == "tool_call_args" else _key(event, kind) in self._told

    def _is_told(self, event: RunEvent) -> bool:
        """An attempt says a call's arguments from their beginning: what is new comes behind as much as was told."""
        call = event.tool_call_args
        self._said = self._said or {}
        said = self._said.get(call.tool_call_id, 0)
        self._said[call.tool_call_id] = said + len(call.delta)
        behind = (self._arguments or {}).get(call.tool_call_id, 0) - said
        if behind > 0:
            call.delta = call.delta[behind:]
        return not call.delta


def _key(event: RunEvent, kind: str) -> str:
    """Names what is told; ids of different things may be the same."""
    match kind:
        case "step_started":
            return f"s:{event.step_started.step_id}"
        case "step_finished":
            return f"S:{event.step_finished.step_id}"
        case "message_started":
            return f"m:{event.message_started.message_id}"
        case "message_finished":
            return f"M:{event.message_finished.message_id}"
        case "citation":
            cited = event.citation
            return f"k:{cited.message_id}:{cited.start}:{cited.end}:{cited.source.label}:{cited.source.chunk_id}"
        case "tool_call_started":
            return f"c:{event.tool_call_started.tool_call_id}"
        case "tool_call_finished":
            return f"C:{event.tool_call_finished.tool_call_id}"
        case _:
            return f"r:{event.tool_result.tool_call_id}"
