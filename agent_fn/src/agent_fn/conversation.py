"""Conversations as graphs, models and checkpoints hold them.

Plain dicts, because a checkpoint outlives the code that wrote it: msgpack stores them without naming a class.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NotRequired, TypedDict, final

from agent_fn.sources import Source, StoredSource, to_stored

Role = Literal["system", "user", "assistant", "tool"]


@final
class TextPart(TypedDict):
    """A piece of text."""

    text: str


@final
class ImagePart(TypedDict):
    """A picture, as its file's bytes."""

    media_type: str
    data: bytes


class ToolCall(TypedDict):
    """A model's request to run a tool; `arguments_json` is what the model wrote."""

    id: str
    name: str
    arguments_json: str


class Message(TypedDict):
    """One message; ids are unique within a thread. `sources`: the passages that a tool's message quotes."""

    id: str
    role: Role
    content: Sequence[TextPart | ImagePart]
    tool_calls: NotRequired[Sequence[ToolCall]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]
    reasoning: NotRequired[str]
    sources: NotRequired[Sequence[StoredSource]]


def merge_messages(held: Sequence[Message], new: Sequence[Message]) -> list[Message]:
    """`held` with `new` appended; a new message whose id is held already takes the earlier one's place.

    A second attempt of a run therefore adds nothing twice.
    """
    merged = {message["id"]: message for message in held}
    for message in new:
        merged[message["id"]] = message
    return list(merged.values())


def assistant_message(message_id: str, text: str, reasoning: str, calls: Sequence[ToolCall]) -> Message:
    """What a model said, thought and asked for."""
    message = Message(id=message_id, role="assistant", content=[{"text": text}] if text else [])
    if reasoning:
        message["reasoning"] = reasoning
    if calls:
        message["tool_calls"] = list(calls)
    return message


def tool_message(call: ToolCall, content: str, sources: Sequence[Source] = ()) -> Message:
    """The result of a call, as the model reads it, and the passages that it quotes."""
    message = Message(
        id=f"{call['id']}.result", role="tool", content=[{"text": content}], tool_call_id=call["id"], name=call["name"]
    )
    if sources:
        message["sources"] = to_stored(sources)
    return message


def with_calls_closed(messages: Sequence[Message]) -> list[Message]:
    """The conversation with a result for every call: one that was stopped, or a client, may have left some without.

    Models stumble over a call without a result, or make it again.
    """
    answered = {message.get("tool_call_id") for message in messages}
    closed: list[Message] = []
    open_calls: list[ToolCall] = []
    for message in messages:
        if open_calls and message["role"] != "tool":
            closed += [tool_message(call, _NO_RESULT) for call in open_calls]
            open_calls = []
        closed.append(message)
        open_calls += [call for call in message.get("tool_calls", ()) if call["id"] not in answered]
    return closed + [tool_message(call, _NO_RESULT) for call in open_calls]


_NO_RESULT = (
    "There is no result of this call: it was stopped before it had one. Nobody knows whether it was carried out."
)


def text_of(message: Message) -> str:
    """The message's text parts in one string."""
    return "".join(part["text"] for part in message["content"] if "text" in part)


def has_images(messages: Iterable[Message]) -> bool:
    """Whether any message shows a picture."""
    return any("data" in part for message in messages for part in message["content"])
