"""From Chat Completions requests to the platform's messages, options and tools."""

from collections.abc import Sequence

from dormouse.agent.v1.agent_pb2 import GenerationOptions
from dormouse.agent.v1.message_pb2 import ClientTool, ContentPart, Message, Role, ToolCall
from pydantic_core import to_json

from edge.content import TextPart, parts_of
from edge.errors import invalid_argument

from . import schemas


def messages_of(request: schemas.ChatCompletionRequest) -> list[Message]:
    """The conversation. Raises ApiError 400 for an image that cannot be used."""
    return [_message(message, f"messages[{index}]") for index, message in enumerate(request.messages)]


def _message(message: schemas.ChatMessage, param: str) -> Message:
    match message:
        case schemas.SystemMessage():
            return Message(role=Role.ROLE_SYSTEM, content=parts_of(message.content, param), name=message.name or "")
        case schemas.UserMessage():
            return Message(role=Role.ROLE_USER, content=parts_of(message.content, param), name=message.name or "")
        case schemas.ToolMessage():
            return Message(
                role=Role.ROLE_TOOL, content=parts_of(message.content, param), tool_call_id=message.tool_call_id
            )
        case schemas.AssistantMessage():
            return Message(
                role=Role.ROLE_ASSISTANT,
                content=_said(message.content),
                name=message.name or "",
                reasoning=message.reasoning_content or "",
                tool_calls=[
                    ToolCall(id=call.id, name=call.function.name, arguments_json=call.function.arguments)
                    for call in message.tool_calls or ()
                ],
            )


def _said(content: str | Sequence[TextPart | schemas.RefusalPart] | None) -> list[ContentPart]:
    """What an assistant said; a refusal is text too."""
    if content is None or isinstance(content, str):
        return [ContentPart(text=content)] if content is not None else []
    return [ContentPart(text=part.text if isinstance(part, TextPart) else part.refusal) for part in content]


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


def client_tools_of(request: schemas.ChatCompletionRequest) -> list[ClientTool]:
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
