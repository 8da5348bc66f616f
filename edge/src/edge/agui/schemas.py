"""RunAgentInput as far as it is read. Unknown members are ignored, known ones of the wrong shape are refused."""

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from edge.content import Schema
from edge.run_wishes import LimitWishes, ToolNames

ROLES: Final = frozenset({"developer", "system", "user", "assistant", "tool", "reasoning", "activity"})
PART_TYPES: Final = frozenset({"text", "image", "audio", "video", "document"})


class AguiSchema(Schema):
    model_config = ConfigDict(alias_generator=to_camel)


def _without_unknown(key: str, known: frozenset[str]) -> BeforeValidator:
    """Members of a union that came with a later version are dropped, as the specification asks."""

    def keep(items: Any) -> Any:
        if not isinstance(items, list):
            return items
        return [
            item
            for item in items
            if not (isinstance(item, dict) and isinstance(item.get(key), str) and item[key] not in known)
        ]

    return BeforeValidator(keep)


class AguiTextPart(AguiSchema):
    type: Literal["text"]
    text: str


class AguiDataSource(AguiSchema):
    type: Literal["data"]
    value: str
    mime_type: str


class AguiUrlSource(AguiSchema):
    type: Literal["url"]
    value: str


class AguiFileSource(AguiSchema):
    type: Literal["file"]
    value: str


class AguiMediaPart(AguiSchema):
    """Inline images are shown to models that see; everything else is skipped, never fetched."""

    type: Literal["image", "audio", "video", "document"]
    source: Annotated[AguiDataSource | AguiUrlSource | AguiFileSource, Field(discriminator="type")]


AguiPart = Annotated[AguiTextPart | AguiMediaPart, Field(discriminator="type")]
AguiContent = str | Annotated[list[AguiPart], _without_unknown("type", PART_TYPES)]


class AguiSystemMessage(AguiSchema):
    id: str
    role: Literal["developer", "system"]
    content: str


class AguiUserMessage(AguiSchema):
    id: str
    role: Literal["user"]
    content: AguiContent
    name: str | None = None


class AguiFunctionCall(AguiSchema):
    name: str
    arguments: str


class AguiToolCall(AguiSchema):
    id: str
    type: Literal["function"]
    function: AguiFunctionCall


class AguiAssistantMessage(AguiSchema):
    id: str
    role: Literal["assistant"]
    content: str | None = None
    tool_calls: list[AguiToolCall] | None = None
    name: str | None = None


class AguiToolMessage(AguiSchema):
    id: str
    role: Literal["tool"]
    content: AguiContent
    tool_call_id: str = Field(min_length=1)
    error: str | None = None


class AguiReasoningMessage(AguiSchema):
    """Never sent back to a model."""

    id: str
    role: Literal["reasoning"]


class AguiActivityMessage(AguiSchema):
    """The front end's own; should not even be here."""

    id: str
    role: Literal["activity"]


AguiMessage = Annotated[
    AguiSystemMessage
    | AguiUserMessage
    | AguiAssistantMessage
    | AguiToolMessage
    | AguiReasoningMessage
    | AguiActivityMessage,
    Field(discriminator="role"),
]


class AguiTool(AguiSchema):
    name: str = Field(min_length=1, max_length=64)
    description: str
    parameters: dict[str, Any] | None = Field(None, description="JSON Schema of the arguments.")


class AguiContext(AguiSchema):
    description: str
    value: str


class AguiResume(AguiSchema):
    """What a person answered to an interrupt, or that nobody did."""

    interrupt_id: str = Field(min_length=1, max_length=500)
    status: Literal["resolved", "cancelled"]
    payload: Any = Field(
        None,
        description='For an approval `{"approved": true}`, with `editedArgs` to call the tool with other arguments, or '
        '`{"approved": false, "reason": "…"}`.',
    )


class AguiWishes(Schema):
    """What of `forwardedProps` concerns the platform, in the native API's words."""

    model: str | None = Field(default=None, min_length=1, max_length=256, description="Left out: the agent's default.")
    tools: ToolNames | None = None
    limits: LimitWishes | None = None

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Applications may send any JSON: what is no object says nothing that concerns the platform."""
        schema = handler(core)
        handler.resolve_ref_schema(schema).pop("type")
        return schema


def _object_or_none(value: Any) -> Any:
    return value if isinstance(value, dict) else None


ForwardedProps = Annotated[AguiWishes | None, BeforeValidator(_object_or_none)]


class RunAgentInput(AguiSchema):
    """AG-UI's request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "threadId": "8473547e-c8ed-4aef-a84c-603a6a8d42da",
                    "runId": "32c263f2-b0b0-42ac-905c-524a0a9bb652",
                    "protocolVersion": "1.0",
                    "messages": [{"id": "m1", "role": "user", "content": "What is a dormouse?"}],
                    "tools": [],
                    "context": [],
                    "state": {},
                    "forwardedProps": {},
                }
            ]
        }
    )

    thread_id: str = Field(
        min_length=1,
        max_length=200,
        description="The client's name for the conversation; any text. Made when it is new.",
    )
    run_id: str = Field(
        min_length=1, max_length=200, description="The client's name for the run, echoed in its events."
    )
    messages: Annotated[list[AguiMessage], _without_unknown("role", ROLES)] = Field(
        max_length=10_000, description="The whole conversation as the client holds it; may be empty beside `resume`."
    )
    tools: list[AguiTool] | None = Field(None, max_length=128, description="Tools that the client runs itself.")
    context: list[AguiContext] | None = Field(None, max_length=100, description="What the model is to know as well.")
    state: Any = Field(
        None, description="What the client holds. What the agent keeps joins it; `artifacts` are those of the thread."
    )
    forwarded_props: ForwardedProps = Field(
        None, description="`model`, `tools` and `limits` are as in a native run; what else there is, is ignored."
    )
    resume: list[AguiResume] | None = Field(
        None, max_length=128, description="Answers to all interrupts of the thread's run, which then goes on."
    )


EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "description": "An AG-UI event; its other members are as AG-UI 1.0 says.",
    "properties": {
        "type": {
            "enum": [
                "RUN_STARTED",
                "RUN_FINISHED",
                "RUN_ERROR",
                "STEP_STARTED",
                "STEP_FINISHED",
                "TEXT_MESSAGE_START",
                "TEXT_MESSAGE_CONTENT",
                "TEXT_MESSAGE_END",
                "REASONING_START",
                "REASONING_MESSAGE_START",
                "REASONING_MESSAGE_CONTENT",
                "REASONING_MESSAGE_END",
                "REASONING_END",
                "TOOL_CALL_START",
                "TOOL_CALL_ARGS",
                "TOOL_CALL_END",
                "TOOL_CALL_RESULT",
                "STATE_SNAPSHOT",
                "STATE_DELTA",
                "ACTIVITY_SNAPSHOT",
                "ACTIVITY_DELTA",
                "MESSAGES_SNAPSHOT",
                "CUSTOM",
            ]
        }
    },
    "required": ["type"],
}
"""What a producer here sends."""
