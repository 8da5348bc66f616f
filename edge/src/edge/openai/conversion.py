"""From Chat Completions requests to the platform's messages, options and tools."""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from dormouse.agent.v1.agent_pb2 import GenerationOptions
from dormouse.agent.v1.message_pb2 import ClientTool, ContentPart, Image, Message, Role, ToolCall
from pydantic_core import to_json

from edge.errors import ApiError, invalid_argument

from . import schemas

IMAGE_LIMIT: Final = 8 * 1024 * 1024
IMAGE_TYPES: Final = ("image/png", "image/jpeg", "image/webp")


def messages_of(request: schemas.ChatCompletionRequest) -> list[Message]:
    """The conversation. Raises ApiError 400 for an image that cannot be used."""
    return [_message(message, f"messages[{index}]") for index, message in enumerate(request.messages)]


def _message(message: schemas.ChatMessage, param: str) -> Message:
    match message:
        case schemas.SystemMessage():
            return Message(role=Role.ROLE_SYSTEM, content=_parts(message.content, param), name=message.name or "")
        case schemas.UserMessage():
            return Message(role=Role.ROLE_USER, content=_parts(message.content, param), name=message.name or "")
        case schemas.ToolMessage():
            return Message(
                role=Role.ROLE_TOOL, content=_parts(message.content, param), tool_call_id=message.tool_call_id
            )
        case schemas.AssistantMessage():
            return Message(
                role=Role.ROLE_ASSISTANT,
                content=_parts(message.content, param),
                name=message.name or "",
                reasoning=message.reasoning_content or "",
                tool_calls=[
                    ToolCall(id=call.id, name=call.function.name, arguments_json=call.function.arguments)
                    for call in message.tool_calls or ()
                ],
            )


def _parts(
    content: str | Sequence[schemas.TextPart | schemas.ImagePart | schemas.RefusalPart] | None, param: str
) -> list[ContentPart]:
    if content is None:
        return []
    if isinstance(content, str):
        return [ContentPart(text=content)]
    parts = []
    for index, part in enumerate(content):
        match part:
            case schemas.TextPart():
                parts.append(ContentPart(text=part.text))
            case schemas.RefusalPart():
                parts.append(ContentPart(text=part.refusal))
            case schemas.ImagePart():
                parts.append(
                    ContentPart(image=image_from_url(part.image_url.url, f"{param}.content[{index}].image_url.url"))
                )
    return parts


def image_from_url(url: str, param: str) -> Image:
    """The image inside a data URL. Raises ApiError 400; nothing is ever fetched."""
    head, comma, data = url.partition(",")
    if not head.startswith("data:") or not comma:
        raise invalid_argument(
            "Images are taken as data URLs only (`data:image/png;base64,…`); remote addresses are not fetched.", param
        )
    media_type, *attributes = head.removeprefix("data:").split(";")
    if "base64" not in attributes:
        raise invalid_argument("The data URL of an image must be base64-encoded.", param)
    return image_from_base64(media_type, data, param)


def image_from_base64(media_type: str, data: str, param: str) -> Image:
    """An image of a kind that models read. Raises ApiError 400."""
    if media_type.lower() not in IMAGE_TYPES:
        raise invalid_argument(f"An image must be one of {', '.join(IMAGE_TYPES)}.", param)
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise _bad_image("The image's base64 text is damaged.", param) from None
    if not raw or len(raw) > IMAGE_LIMIT:
        raise _bad_image(f"An image must hold 1 to {IMAGE_LIMIT} bytes.", param)
    return Image(media_type=media_type.lower(), data=raw)


def _bad_image(message: str, param: str) -> ApiError:
    return invalid_argument(message, param)


def options_of(request: schemas.ChatCompletionRequest) -> GenerationOptions:
    """How the model is to answer; what the client left open stays unset."""
    options = GenerationOptions(
        temperature=request.temperature,
        top_p=request.top_p,
        max_tokens=request.max_completion_tokens or request.max_tokens,
        stop=[request.stop] if isinstance(request.stop, str) else request.stop or (),
        seed=request.seed,
        frequency_penalty=request.frequency_penalty,
        presence_penalty=request.presence_penalty,
    )
    if request.reasoning_effort is not None:
        options.reasoning = request.reasoning_effort != "none"
    match request.response_format:
        case schemas.JsonObjectFormat():
            options.response_json_schema = "json"
        case schemas.JsonSchemaFormat(json_schema=wanted):
            options.response_json_schema = to_json(wanted.schema_).decode()
    return options


def tools_of(request: schemas.ChatCompletionRequest) -> list[ClientTool]:
    """The tools that the client runs itself, as far as its `tool_choice` offers them."""
    tools = request.tools or []
    match request.tool_choice:
        case "none":
            return []
        case schemas.NamedTool(function=wanted):
            tools = [tool for tool in tools if tool.function.name == wanted.name]
            if not tools:
                raise invalid_argument(f"There is no tool `{wanted.name[:64]}` among `tools`.", "tool_choice")
    return [
        ClientTool(
            name=tool.function.name,
            description=tool.function.description or "",
            parameters_json_schema=""
            if tool.function.parameters is None
            else to_json(tool.function.parameters).decode(),
        )
        for tool in tools
    ]
