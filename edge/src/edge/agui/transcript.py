"""The conversation as an AG-UI client holds it at this moment of a run; needed when part of it has to be restated."""

from collections.abc import Callable
from typing import Any


class Transcript:
    """The client's history, and what this run has added to it."""

    def __init__(self, history: Callable[[], list[Any]]) -> None:
        self._history = history
        self._texts: dict[str, list[str]] = {}
        self._calls: dict[str, list[dict[str, Any]]] = {}
        self._arguments: dict[str, list[str]] = {}
        self._results: dict[str, dict[str, Any]] = {}
        self._starts: dict[str, dict[str, Any]] = {}

    def has(self, message_id: str) -> bool:
        """Whether the client has heard of this message."""
        return message_id in self._texts

    def message(self, message_id: str) -> None:
        """An assistant's message has begun."""
        self._texts.setdefault(message_id, [])

    def say(self, message_id: str, text: str) -> None:
        """The message, which has begun, goes on."""
        self._texts[message_id].append(text)

    def replace(self, message_id: str, text: str) -> None:
        """The message says something else."""
        self._texts[message_id] = [text]

    def call(self, message_id: str, call_id: str, name: str) -> None:
        """The message asks for a tool."""
        self._starts[call_id] = {"toolCallName": name, **({"parentMessageId": message_id} if message_id else {})}
        parent = message_id or call_id  # clients make a message of the call's own id where none is named
        self.message(parent)
        self._arguments[call_id] = []
        self._calls.setdefault(parent, []).append({"id": call_id, "name": name})

    def arguments(self, call_id: str, delta: str) -> None:
        """The call's arguments go on."""
        self._arguments[call_id].append(delta)

    def result(self, message_id: str, call_id: str, content: str) -> None:
        """The call has been answered."""
        self._results[call_id] = {"id": message_id, "role": "tool", "toolCallId": call_id, "content": content}

    def unanswered_calls(self) -> dict[str, dict[str, Any]]:
        """Calls that the client has to answer, with what their TOOL_CALL_START says beside the id."""
        return {call_id: start for call_id, start in self._starts.items() if call_id not in self._results}

    def running_call(self, name: str) -> str:
        """The oldest call of a tool that has no result yet; empty where there is none."""
        return next(
            (call_id for call_id, start in self.unanswered_calls().items() if start["toolCallName"] == name), ""
        )

    def to_json(self) -> list[Any]:
        """All messages in order. Reasoning is left out: clients keep theirs when a snapshot holds none."""
        ours = self._texts.keys() | {result["id"] for result in self._results.values()}
        messages = [
            message
            for message in self._history()
            if isinstance(message, dict)
            and message.get("role") not in ("reasoning", "activity")
            and message.get("id") not in ours  # a run that goes on after an interrupt is in the history, too
        ]
        for message_id, pieces in self._texts.items():
            message: dict[str, Any] = {"id": message_id, "role": "assistant", "content": "".join(pieces)}
            calls = self._calls.get(message_id, ())
            if calls:
                message["toolCalls"] = [self._call_to_json(call) for call in calls]
            messages.append(message)
            messages += [self._results[call["id"]] for call in calls if call["id"] in self._results]
        return messages

    def _call_to_json(self, call: dict[str, Any]) -> dict[str, Any]:
        arguments = "".join(self._arguments[call["id"]])
        return {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": arguments}}
