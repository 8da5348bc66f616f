"""Chat Completions requests: what is read of them. Fields that are not listed are accepted and ignored."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from edge.content import Count, Part, Schema, Seed, TextPart
from edge.run_wishes import LimitWishes, ToolNames


class RefusalPart(Schema):
    type: Literal["refusal"]
    refusal: str


AssistantPart = Annotated[TextPart | RefusalPart, Field(discriminator="type")]


class SystemMessage(Schema):
    role: Literal["system", "developer"]
    content: str | list[TextPart]
    name: str | None = None


class UserMessage(Schema):
    role: Literal["user"]
    content: str | list[Part]
    name: str | None = None


class FunctionCall(Schema):
    name: str
    arguments: str = Field(description="A JSON object, as text.")


class ToolCall(Schema):
    id: str
    type: Literal["function"]
    function: FunctionCall


class AssistantMessage(Schema):
    role: Literal["assistant"]
    content: str | list[AssistantPart] | None = None
    tool_calls: list[ToolCall] | None = None
    reasoning_content: str | None = None
    name: str | None = None


class ToolMessage(Schema):
    role: Literal["tool"]
    content: str | list[TextPart]
    tool_call_id: str = Field(min_length=1)


ChatMessage = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class Function(Schema):
    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="JSON Schema of the arguments.")


class Tool(Schema):
    type: Literal["function"]
    function: Function


class NamedFunction(Schema):
    name: str


class NamedTool(Schema):
    type: Literal["function"]
    function: NamedFunction


class TextFormat(Schema):
    type: Literal["text"]


class JsonObjectFormat(Schema):
    type: Literal["json_object"]


class JsonSchema(Schema):
    name: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")


class JsonSchemaFormat(Schema):
    type: Literal["json_schema"]
    json_schema: JsonSchema


class StreamOptions(Schema):
    include_usage: bool | None = None


ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
StopText = Annotated[str, Field(min_length=1, max_length=256)]


class ChatCompletionRequest(Schema):
    """A conversation to be continued by an agent or a model."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "chat",
                    "messages": [{"role": "user", "content": "What is a dormouse?"}],
                    "stream": True,
                    "stream_options": {"include_usage": True},
                }
            ]
        }
    )

    model: str = Field(min_length=1, max_length=256, description="An agent, or a model of the model server.")
    messages: list[ChatMessage] = Field(min_length=1, max_length=10_000)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    max_tokens: Count | None = Field(None, description="The same as `max_completion_tokens`.")
    max_completion_tokens: Count | None = Field(None, description="Reasoning included.")
    n: Literal[1] | None = Field(None, description="Only one choice is made.")
    stop: StopText | Annotated[list[StopText], Field(max_length=16)] | None = None
    seed: Seed | None = None
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    response_format: Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")] | None = (
        None
    )
    tools: list[Tool] | None = Field(None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = Field(
        None, description="`none` withholds the tools, a named tool is the only one offered; `required` is a wish."
    )
    agent_tools: ToolNames | None = None
    limits: LimitWishes | None = None
    reasoning_effort: ReasoningEffort | None = Field(
        None, description="`none` asks the model not to reason first; any other value asks it to."
    )
    user: str | None = Field(None, description="Accepted and ignored.")
    metadata: dict[str, Any] | None = Field(None, description="Accepted and ignored.")
    store: bool | None = Field(None, description="Accepted and ignored: nothing is stored.")
