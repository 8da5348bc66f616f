"""How long a prompt is, guessed: model servers count exactly, but only once they have answered."""

from collections.abc import Iterable
from typing import Final

from dormouse.agent.v1.message_pb2 import Message

CHARACTERS_PER_TOKEN: Final = 3
"""Fewer than most texts have, so that the guess is rather too high."""

MESSAGE_TOKENS: Final = 8
"""What a message costs beside its text."""

IMAGE_TOKENS: Final = 800


def prompt_tokens_of(messages: Iterable[Message]) -> int:
    """Of a conversation as it stands here; what a thread holds besides is not known yet."""
    total = 0
    for message in messages:
        total += MESSAGE_TOKENS
        for part in message.content:
            total += IMAGE_TOKENS if part.HasField("image") else len(part.text) // CHARACTERS_PER_TOKEN
        for call in message.tool_calls:
            total += len(call.arguments_json) // CHARACTERS_PER_TOKEN
    return total
