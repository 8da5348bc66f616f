"""What a run's log tells already, so that a repeated attempt does not tell it twice."""

from dormouse.agent.v1.run_event_pb2 import RunEvent

CHECKED = frozenset(
    (
        "step_started",
        "step_finished",
        "message_started",
        "message_finished",
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

    def __init__(self) -> None:
        self._begun: set[str] = set()
        self._ended: set[str] = set()
        self._results: set[str] = set()
        self._arguments: dict[str, int] = {}
        self._said: dict[str, int] = {}

    def begin_attempt(self) -> None:
        """From now on another attempt speaks."""
        self._said.clear()

    def take(self, event: RunEvent, kind: str) -> None:
        """Notes what the log tells with this event, whose field name is `kind`."""
        match kind:
            case "step_started" | "message_started" | "tool_call_started":
                self._begun.add(_key(event, kind))
            case "step_finished" | "message_finished" | "tool_call_finished":
                self._ended.add(_key(event, kind))
            case "tool_result":
                self._results.add(event.tool_result.tool_call_id)
            case "tool_call_args":
                call = event.tool_call_args
                self._arguments[call.tool_call_id] = self._arguments.get(call.tool_call_id, 0) + len(call.delta)

    def is_repetition(self, event: RunEvent, kind: str) -> bool:
        """Whether the log tells this already. Of a call's arguments what it does not tell is left in the event."""
        match kind:
            case "step_started" | "message_started" | "tool_call_started":
                return _key(event, kind) in self._begun
            case "step_finished" | "message_finished" | "tool_call_finished":
                return _key(event, kind) in self._ended
            case "tool_result":
                return event.tool_result.tool_call_id in self._results
            case "tool_call_args":
                return self._is_told(event)
        return False

    def _is_told(self, event: RunEvent) -> bool:
        """An attempt says a call's arguments from their beginning: what is new comes behind as much as was told."""
        call = event.tool_call_args
        said = self._said.get(call.tool_call_id, 0)
        self._said[call.tool_call_id] = said + len(call.delta)
        behind = self._arguments.get(call.tool_call_id, 0) - said
        if behind > 0:
            call.delta = call.delta[behind:]
        return not call.delta


def _key(event: RunEvent, kind: str) -> str:
    """Names what begins or ends; ids of different things may be the same."""
    if kind.startswith("step"):
        step = event.step_started if kind == "step_started" else event.step_finished
        return f"s:{step.step_id}"
    if kind.startswith("message"):
        message = event.message_started if kind == "message_started" else event.message_finished
        return f"m:{message.message_id}"
    call = event.tool_call_started if kind == "tool_call_started" else event.tool_call_finished
    return f"c:{call.tool_call_id}"
