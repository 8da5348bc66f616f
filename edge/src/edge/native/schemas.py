"""Requests of the native API, and the shapes of its answers."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from edge.content import Count, Part, Schema, Seed
from edge.run_wishes import LimitWishes, ToolNames
from edge.runs.model import MultitaskStrategy, OnDisconnect, RunStatus


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain the character U+0000")
    return text


Key = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_storable)]
Value = Annotated[str, Field(max_length=512), AfterValidator(_storable)]
METADATA_PAIRS: Final = 16


def _metadata_schema(value: Any) -> WithJsonSchema:
    """pydantic puts what it knows of keys into `patternProperties`, which says nothing about other keys."""
    no_nul = r"^[^\x00]*$"
    return WithJsonSchema(
        {
            "type": "object",
            "maxProperties": METADATA_PAIRS,
            "propertyNames": {"minLength": 1, "maxLength": 64, "pattern": no_nul},
            "additionalProperties": {"type": value, "maxLength": 512, "pattern": no_nul},
        }
    )


class MessageFunction(Schema):
    name: str
    arguments: str = Field(description="A JSON object, as text.")


class MessageToolCall(Schema):
    id: str
    type: Literal["function"] = "function"
    function: MessageFunction


MessageId = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=200,
        description="Unique within its thread; the same id again replaces the earlier message. Left out: one is made.",
    ),
]


class ThreadSystemMessage(Schema):
    id: MessageId = None
    role: Literal["system"]
    content: str | list[Part]
    name: str | None = None


class ThreadUserMessage(Schema):
    id: MessageId = None
    role: Literal["user"]
    content: str | list[Part]
    name: str | None = None


class ThreadAssistantMessage(Schema):
    id: MessageId = None
    role: Literal["assistant"]
    content: str | list[Part] | None = None
    tool_calls: list[MessageToolCall] | None = None
    reasoning: str | None = Field(None, description="In answers: what the model thought first. Ignored in requests.")
    name: str | None = None


class ThreadToolMessage(Schema):
    id: MessageId = None
    role: Literal["tool"]
    content: str | list[Part]
    tool_call_id: str = Field(min_length=1, description="The call that this message answers.")
    name: str | None = None


ThreadMessage = Annotated[
    ThreadSystemMessage | ThreadUserMessage | ThreadAssistantMessage | ThreadToolMessage, Field(discriminator="role")
]
"""One message of a conversation."""


class RunInput(Schema):
    messages: list[ThreadMessage] = Field(
        min_length=1,
        max_length=10_000,
        description="On a thread: what is new. Without one: the whole conversation.",
    )


class RunOptions(Schema):
    """How the model is to answer; what is left out is the agent's choice."""

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: Count | None = None
    max_tokens: Count | None = Field(None, description="Per model call, reasoning included.")
    stop: list[Annotated[str, Field(min_length=1, max_length=256)]] | None = Field(None, max_length=16)
    seed: Seed | None = None
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    reasoning: bool | None = Field(None, description="Whether the model is to reason first.")
    response_json_schema: dict[str, Any] | None = Field(None, description="The answer is JSON that this describes.")


class ClientTool(Schema):
    """A tool that the client runs itself."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")
    description: str = ""
    parameters: dict[str, Any] | None = Field(None, description="JSON Schema of the arguments.")


RUN_REQUEST_EXAMPLE: Final[dict[str, Any]] = {
    "agent": "chat",
    "background": True,
    "input": {"messages": [{"role": "user", "content": "What is a dormouse?"}]},
}


class RunRequest(Schema):
    """A run to be started."""

    model_config = ConfigDict(json_schema_extra={"examples": [RUN_REQUEST_EXAMPLE]})

    agent: str = Field("chat", min_length=1, max_length=256)
    model: str | None = Field(None, min_length=1, max_length=256, description="Left out: the agent's default.")
    input: RunInput
    background: bool = Field(False, description="Answer at once with the run; its events are read elsewhere.")
    on_disconnect: Annotated[OnDisconnect, Field(strict=False)] = Field(
        OnDisconnect.CONTINUE, description="What becomes of the run when this request's client goes away."
    )
    multitask_strategy: Annotated[MultitaskStrategy, Field(strict=False)] = Field(
        MultitaskStrategy.REJECT,
        description="On a thread that another run holds: `reject` this one with 409, `enqueue` it, `interrupt` the "
        "other and go on after what it said, or `rollback`: cancel the other and undo it.",
    )
    options: RunOptions | None = None
    tools: ToolNames | None = None
    limits: LimitWishes | None = None
    client_tools: list[ClientTool] | None = Field(
        None, max_length=128, description="Tools that the client runs itself: the run ends with their calls."
    )


RESUME_EXAMPLE: Final[dict[str, Any]] = {
    "answers": {"run_8dYh2mPz0ZcA5kQw1nRtXvBg.m1.c1.approval": {"action": "approve"}},
    "background": True,
}


class ResumeRequest(Schema):
    """Answers to all that an interrupted run asks."""

    model_config = ConfigDict(json_schema_extra={"examples": [RESUME_EXAMPLE]})

    answers: dict[Annotated[str, Field(min_length=1, max_length=500)], Any] = Field(
        min_length=1,
        max_length=128,
        description='By the interrupt\'s id. For `tool_approval`: `{"action": "approve"}`, `{"action": "edit", '
        '"arguments": {…}}` or `{"action": "reject", "reason": "…"}`.',
    )
    background: bool = Field(False, description="Answer at once with the run; its events are read elsewhere.")
    on_disconnect: Annotated[OnDisconnect, Field(strict=False)] | None = Field(
        None, description="From now on, instead of what the run was started with."
    )


class ThreadRequest(Schema):
    """A thread to be made."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"metadata": {"topic": "animals"}}]})

    metadata: Annotated[dict[Key, Value], _metadata_schema("string")] = Field(
        default_factory=dict, max_length=METADATA_PAIRS
    )


class ThreadChanges(Schema):
    """Metadata keys to set, or with null to remove."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"metadata": {"topic": "rodents", "old": None}}]})

    metadata: Annotated[dict[Key, Value | None], _metadata_schema(["string", "null"])] = Field(
        max_length=METADATA_PAIRS
    )


class RunFailure(BaseModel):
    message: str
    type: str
    code: str
    retryable: bool = Field(description="Whether the same request may succeed later.")


class RunUsage(BaseModel):
    prompt_tokens: int
    completion_tokens: int = Field(description="Includes the reasoning.")
    reasoning_tokens: int


class RunInterrupt(BaseModel):
    """A question that a person has to answer before the run goes on."""

    id: str
    reason: str = Field(examples=["tool_approval"])
    message: str
    tool_call_id: str | None
    details: dict[str, Any] = Field(description="For `tool_approval`: the `tool` and its `arguments`.")
    response_schema: dict[str, Any] | None = Field(description="JSON Schema of the answer. Null: any JSON.")


class RunObject(BaseModel):
    """One execution of an agent."""

    id: str
    object: Literal["run"]
    status: RunStatus
    agent: str
    model: str | None = Field(description="Null: the agent's default.")
    thread_id: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    finish_reason: Literal["stop", "length", "tool_calls"] | None
    error: RunFailure | None
    interrupts: list[RunInterrupt] = Field(description="What it waits for; empty unless it is interrupted.")
    usage: RunUsage


class RunList(BaseModel):
    object: Literal["list"]
    data: list[RunObject]
    has_more: bool
    last_id: str | None = Field(description="For `after`, to read on.")


class ThreadObject(BaseModel):
    """A conversation."""

    id: str
    object: Literal["thread"]
    metadata: dict[str, str]
    created_at: datetime
    updated_at: datetime


class ThreadList(BaseModel):
    object: Literal["list"]
    data: list[ThreadObject]
    has_more: bool
    last_id: str | None = Field(description="For `after`, to read on.")


class ThreadDeleted(BaseModel):
    id: str
    object: Literal["thread.deleted"]
    deleted: Literal[True]


class ThreadState(BaseModel):
    """What a thread holds after its last run."""

    thread_id: str
    checkpoint_id: str | None = Field(description="Null: nothing has been said on it yet.")
    messages: list[ThreadMessage]
    values: dict[str, Any] = Field(description="The rest of the agent's state.")


class AgentObject(BaseModel):
    """Something that can run."""

    id: str
    object: Literal["agent"]
    description: str
    tools: list[str] = Field(description="Names of the tools that it may use for the caller.")
    tools_complete: bool = Field(
        description="False while the tool function does not answer: the agent may then have more tools than these."
    )
    capabilities: list[str]
    models: list[str] = Field(description="The models that it can be asked to use.")


class AgentList(BaseModel):
    object: Literal["list"]
    data: list[AgentObject]
    default_model: str | None = Field(description="The model of agents that are asked for none. Null: there is none.")


class ToolLimits(BaseModel):
    time_ms: int = Field(description="The longest a call may take.")
    output_bytes: int = Field(description="The longest result; what is longer is cut and says so.")


class ToolObject(BaseModel):
    """Something that agents can call."""

    name: str
    object: Literal["tool"]
    description: str = Field(description="Written for a model.")
    input_schema: dict[str, Any] = Field(description="JSON Schema of the arguments.")
    has_side_effects: bool
    needs_approval: bool = Field(description="A person has to approve each call.")
    limits: ToolLimits


class ToolList(BaseModel):
    object: Literal["list"]
    data: list[ToolObject]


MODELS: Final = (
    RunRequest,
    ResumeRequest,
    ThreadRequest,
    ThreadChanges,
    RunObject,
    RunList,
    ThreadObject,
    ThreadList,
    ThreadDeleted,
    ThreadState,
    AgentObject,
    AgentList,
    ToolObject,
    ToolList,
)
