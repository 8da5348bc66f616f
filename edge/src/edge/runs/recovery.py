"""What a new attempt has to know of the attempts before it: an account of the log since the last checkpoint."""

from dataclasses import dataclass, field

from dormouse.agent.v1.agent_pb2 import RecoveredMessage, RecoveredToolResult, Recovery
from dormouse.agent.v1.message_pb2 import ContentPart, Message, Role
from dormouse.agent.v1.run_event_pb2 import RunEvent


@dataclass(slots=True)
class _MessageSoFar:
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    pieces: int = 0
    reasoning_pieces: int = 0
    finished: bool = False


@dataclass(slots=True)
class _CallSoFar:
    name: str
    arguments: list[str] = field(default_factory=list)
    result: str | None = None
    is_error: bool = False


class LogAccount:
    """Follows a run's events and tells, at any moment, what has been said and done since the last checkpoint."""

    def __init__(self) -> None:
        self._messages: dict[str, _MessageSoFar] = {}
        self._calls: dict[str, _CallSoFar] = {}

    def knows(self, message_id: str) -> bool:
        """Whether a message with this id has started."""
        return message_id in self._messages

    def take(self, event: RunEvent, kind: str) -> None:
        """Accounts for one event, whose field name is `kind`."""
        if kind == "message_delta":
            message = self._messages.setdefault(event.message_delta.message_id, _MessageSoFar())
            message.text.append(event.message_delta.text)
            message.pieces += event.message_delta.pieces
        elif kind == "reasoning_delta":
            message = self._messages.setdefault(event.reasoning_delta.message_id, _MessageSoFar())
            message.reasoning.append(event.reasoning_delta.text)
            message.reasoning_pieces += event.reasoning_delta.pieces
        elif kind == "message_started":
            self._messages.setdefault(event.message_started.message_id, _MessageSoFar())
        elif kind == "message_replaced":
            self._messages[event.message_replaced.message_id] = _MessageSoFar(text=[event.message_replaced.text])
        elif kind == "message_finished":
            self._messages.setdefault(event.message_finished.message_id, _MessageSoFar()).finished = True
        elif kind == "tool_call_started":
            self._calls.setdefault(event.tool_call_started.tool_call_id, _CallSoFar(event.tool_call_started.name))
        elif kind == "tool_call_args" and (call := self._calls.get(event.tool_call_args.tool_call_id)):
            call.arguments.append(event.tool_call_args.delta)
        elif kind == "tool_result" and (call := self._calls.get(event.tool_result.tool_call_id)):
            call.result, call.is_error = event.tool_result.content, event.tool_result.is_error

    def clear(self) -> None:
        """Forgets everything: a checkpoint holds it."""
        self._messages.clear()
        self._calls.clear()

    def recovery(self, *, attempt: int, may_replace: bool) -> Recovery:
        """What to send with a new attempt."""
        return Recovery(
            attempt=attempt,
            may_replace=may_replace,
            messages=[
                RecoveredMessage(
                    message_id=message_id,
                    text="".join(message.text),
                    reasoning="".join(message.reasoning),
                    pieces=message.pieces,
                    reasoning_pieces=message.reasoning_pieces,
                    finished=message.finished,
                )
                for message_id, message in self._messages.items()
            ],
            tool_results=[
                RecoveredToolResult(
                    tool_call_id=call_id,
                    name=call.name,
                    arguments_json="".join(call.arguments),
                    content=call.result or "",
                    is_error=call.is_error,
                    outcome_unknown=call.result is None,
                )
                for call_id, call in self._calls.items()
            ],
        )

    def partial_messages(self) -> list[Message]:
        """What the assistant has said, as messages for whoever goes on after it."""
        return [
            Message(id=message_id, role=Role.ROLE_ASSISTANT, content=[ContentPart(text="".join(message.text))])
            for message_id, message in self._messages.items()
            if any(message.text)
        ]
