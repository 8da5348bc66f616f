"""The client's history against the thread's: what of it is new to the agent."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dormouse.agent.v1.message_pb2 import ContentPart, Image, Message, Role, ToolCall

from edge.content import IMAGE_TYPES
from edge.ids import is_run_id

from .schemas import (
    AguiAssistantMessage,
    AguiContent,
    AguiMediaPart,
    AguiMessage,
    AguiSystemMessage,
    AguiTextPart,
    AguiToolMessage,
    AguiUserMessage,
    RunAgentInput,
)

CONTEXT_ID: Final = "ag-ui-context"
"""The system message that holds `context`. It has one id, so each run's context takes the place of the last one's."""


@dataclass(frozen=True, slots=True)
class NewInput:
    """What to give the agent. With `from_empty` it is the whole conversation, and the thread's own is dropped."""

    messages: Sequence[Message]
    from_empty: bool


def conversation_of(request: RunAgentInput) -> list[Message]:
    """The messages that concern a model, in order; reasoning, activities and what plans called are left out."""
    messages = (_message(message) for message in request.messages)
    return _without_plans([message for message in messages if message is not None])


def _without_plans(messages: Sequence[Message]) -> list[Message]:
    """Calls that no message asked for are no part of a conversation; clients make a message of each all the same."""
    carried_out = {message.tool_call_id for message in messages if message.id == f"{message.tool_call_id}.result"}
    planned = {
        message.id
        for message in messages
        if message.id in carried_out
        and is_run_id(message.id.partition(".")[0])
        and [call.id for call in message.tool_calls] == [message.id]
    }
    return [message for message in messages if message.id not in planned and message.tool_call_id not in planned]


def context_of_run(request: RunAgentInput) -> Message | None:
    """What the application wants the model to know, as one system message."""
    if not request.context:
        return None
    facts = "\n".join(f"- {item.description}: {item.value}" for item in request.context)
    text = f"The application gives this context:\n{facts}"
    return Message(id=CONTEXT_ID, role=Role.ROLE_SYSTEM, content=[ContentPart(text=text)])


def what_is_new(conversation: Sequence[Message], context: Message | None, held: Sequence[Message]) -> NewInput:
    """Compares the client's conversation with what the thread holds.

    Where the client only goes on from it, the rest is new. Where the client has edited, cut off or repeats it, its
    version is the right one: AG-UI's `messages` are the complete history.
    """
    said = [message for message in held if message.id != CONTEXT_ID]
    is_continued = len(conversation) > len(said) and all(
        _same(mine, theirs) for mine, theirs in zip(said, conversation, strict=False)
    )
    before = [] if context is None else [context]
    if is_continued:
        return NewInput([*before, *conversation[len(said) :]], from_empty=False)
    return NewInput([*before, *conversation], from_empty=bool(held))


def _same(held: Message, shown: Message) -> bool:
    if held.role != shown.role:
        return False
    if held.role == Role.ROLE_TOOL:
        return held.tool_call_id == shown.tool_call_id  # the stream and the thread may name a result differently
    if held.id != shown.id:
        return False
    # What the agent said is not the client's to change; what the user said is.
    return held.role == Role.ROLE_ASSISTANT or _text(held) == _text(shown)


def _text(message: Message) -> str:
    return "".join(part.text for part in message.content)


def _message(message: AguiMessage) -> Message | None:
    match message:
        case AguiSystemMessage():
            return Message(id=message.id, role=Role.ROLE_SYSTEM, content=[ContentPart(text=message.content)])
        case AguiUserMessage():
            return Message(id=message.id, role=Role.ROLE_USER, content=_parts(message.content), name=message.name or "")
        case AguiAssistantMessage():
            return Message(
                id=message.id,
                role=Role.ROLE_ASSISTANT,
                content=[ContentPart(text=message.content)] if message.content is not None else [],
                name=message.name or "",
                tool_calls=[
                    ToolCall(id=call.id, name=call.function.name, arguments_json=call.function.arguments)
                    for call in message.tool_calls or ()
                ],
            )
        case AguiToolMessage():
            content = _parts(message.content)
            if message.error:
                content.append(ContentPart(text=f"\nThe tool failed: {message.error}"))
            return Message(id=message.id, role=Role.ROLE_TOOL, content=content, tool_call_id=message.tool_call_id)
    return None


def _parts(content: AguiContent) -> list[ContentPart]:
    """What a model can use of it; the specification forbids to fail over the rest."""
    if isinstance(content, str):
        return [ContentPart(text=content)]
    parts = [ContentPart(text=part.text) if isinstance(part, AguiTextPart) else _image(part) for part in content]
    return [part for part in parts if part is not None]


def _image(part: AguiMediaPart) -> ContentPart | None:
    source = part.source
    if part.type != "image" or source.type != "data" or source.mime_type.lower() not in IMAGE_TYPES:
        return None
    try:
        data = base64.b64decode(source.value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return ContentPart(image=Image(media_type=source.mime_type.lower(), data=data)) if data else None
