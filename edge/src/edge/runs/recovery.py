"""What a new attempt has to know of the attempts before it: an account of the log since the last checkpoint."""

import re
from collections.abc import Container
from dataclasses import dataclass, field

from dormouse.agent.v1.agent_pb2 import RecoveredMessage, RecoveredToolResult, Recovery
from dormouse.agent.v1.message_pb2 import ContentPart, Message, Role, ToolCall
from dormouse.agent.v1.run_event_pb2 import InterruptAnswer, RunEvent, ToolResult

# As answers cite passages: [1], or [1, 2].
_LABELS = re.compile(r"\[([0-9]{1,4}(?:[,;] ?[0-9]{1,4})*)\]")
_NUMBER = re.compile(r"[0-9]+")
_NOT_RUN = "This call was not carried out: the run was stopped before somebody approved it."
_UNKNOWN = "The run was stopped while this call was under way. Whether it was carried out is not known."


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
    message_id: str
    at_client: bool
    arguments: list[str] = field(default_factory=list)
    result: ToolResult | None = None


class LogAccount:
    """Follows a run's events and tells, at any moment, what has been said and done since the last checkpoint.

    The state and people's answers are told whole, whatever a checkpoint holds.
    """

    def __init__(self) -> None:
        self._messages: dict[str, _MessageSoFar] = {}
        self._calls: dict[str, _CallSoFar] = {}
        self._state = ""
        self._patches: list[str] = []
        self.answers: list[InterruptAnswer] = []
        """To all interrupts of the run so far."""

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
            call = event.tool_call_started
            self._calls.setdefault(call.tool_call_id, _CallSoFar(call.name, call.message_id, call.at_client))
        elif kind == "tool_call_args":
            if known := self._calls.get(event.tool_call_args.tool_call_id):
                known.arguments.append(event.tool_call_args.delta)
        elif kind == "tool_result":
            if known := self._calls.get(event.tool_result.tool_call_id):
                known.result = event.tool_result
        elif kind == "state_snapshot":
            self._state, self._patches = event.state_snapshot.json, []
        elif kind == "state_delta":
            self._patches.append(event.state_delta.patch_json)
        elif kind == "run_resumed":
            self.answers += event.run_resumed.answers

    @property
    def unfinished_pieces(self) -> int:
        """What the model has sent of messages that have not ended, and so of calls that nobody has counted."""
        return sum(
            message.pieces + message.reasoning_pieces for message in self._messages.values() if not message.finished
        )

    def clear(self) -> None:
        """Forgets what was said and done: a checkpoint holds it."""
        self._messages.clear()
        self._calls.clear()

    def recovery(self, *, attempt: int, may_replace: bool, tokens: int) -> Recovery:
        """What to send with a new attempt. tokens: of all usage that the run has reported."""
        return Recovery(
            attempt=attempt,
            may_replace=may_replace,
            tokens=tokens,
            state_json=self._state,
            state_patches_json=self._patches,
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
            tool_results=[_recovered(call_id, call) for call_id, call in self._calls.items()],
        )

    def partial_messages(self, unapproved: Container[str] = ()) -> list[Message]:
        """What the assistant has said and done, as messages for whoever goes on after it.

        unapproved: ids of the calls that wait for a person. What a client was to run is left out: it has not been.
        """
        messages: list[Message] = []
        # What calls have brought that belong to no message: nothing but the text that cites it tells of it later.
        loose = [
            source
            for call in self._calls.values()
            if not call.message_id and call.result is not None
            for source in call.result.sources
        ]
        for message_id, said in self._messages.items():
            calls = {
                call_id: call
                for call_id, call in self._calls.items()
                if call.message_id == message_id and not call.at_client
            }
            if not calls and not any(said.text):
                continue
            message = Message(
                id=message_id,
                role=Role.ROLE_ASSISTANT,
                tool_calls=[
                    ToolCall(id=call_id, name=call.name, arguments_json="".join(call.arguments))
                    for call_id, call in calls.items()
                ],
            )
            if text := "".join(said.text):
                message.content.append(ContentPart(text=text))
                cited = set(_NUMBER.findall(" ".join(_LABELS.findall(text))))
                message.sources.extend(source for source in loose if source.label in cited)
            messages.append(message)
            for call_id, call in calls.items():
                content = call.result.content if call.result else _NOT_RUN if call_id in unapproved else _UNKNOWN
                result = Message(
                    id=f"{call_id}.result",
                    name=call.name,
                    role=Role.ROLE_TOOL,
                    tool_call_id=call_id,
                    content=[ContentPart(text=content)],
                    sources=call.result.sources if call.result else (),
                )
                messages.append(result)
        return messages


def _recovered(call_id: str, call: _CallSoFar) -> RecoveredToolResult:
    result = call.result
    return RecoveredToolResult(
        tool_call_id=call_id,
        name=call.name,
        arguments_json="".join(call.arguments),
        content=result.content if result else "",
        is_error=result.is_error if result else False,
        outcome_unknown=result.outcome_unknown if result else True,
        sources=result.sources if result else (),
    )
