"""Makes a conversation fit: what tools returned is cut before it is longer than the model can read."""

from collections.abc import Sequence
from typing import Final

from agent_fn.citing.fences import shortened
from agent_fn.conversation import Message, text_of

_CHARACTERS_PER_TOKEN: Final = 3
# Of the context, what the conversation may fill: the rest is for tools and the answer.
_SHARE: Final = 0.7
_KEPT: Final = 600
_LEFT_OUT: Final = "[The rest of this result is left out: the conversation is too long for it.]"


def fitted(messages: Sequence[Message], context_length: int) -> list[Message]:
    """The conversation with its oldest results cut to their beginnings, as many as it takes.

    `context_length` in tokens; 0, where nobody knows it, leaves everything. Text of people and models is never cut:
    what does not fit then is the model server's to refuse.
    """
    most = int(context_length * _CHARACTERS_PER_TOKEN * _SHARE)
    excess = sum(_size(message) for message in messages) - most
    fit = list(messages)
    if not context_length:
        return fit
    for place, message in enumerate(fit):
        if excess <= 0:
            break
        if message["role"] == "tool" and (size := _size(message)) > 2 * _KEPT:
            fit[place] = _shortened(message)
            excess -= size - _size(fit[place])
    return fit


def stripped(messages: Sequence[Message]) -> list[Message]:
    """The conversation with every long result cut, for a model server that has refused it."""
    return [
        _shortened(message) if message["role"] == "tool" and _size(message) > 2 * _KEPT else message
        for message in messages
    ]


def _shortened(message: Message) -> Message:
    kept = shortened(text_of(message), _KEPT, _LEFT_OUT)
    return Message({**message, "content": [{"text": kept}]})


def _size(message: Message) -> int:
    calls = sum(len(call["arguments_json"]) for call in message.get("tool_calls", ()))
    return len(text_of(message)) + calls
