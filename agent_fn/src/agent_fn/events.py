"""What a run says while it goes on: the domain's side of dormouse.agent.v1.RunEvent."""

from dataclasses import dataclass
from enum import Enum, auto


class FinishReason(Enum):
    """Why a run came to its end."""

    STOP = auto()
    LENGTH = auto()
    TOOL_CALLS = auto()


class ActivityKind(Enum):
    """Something that takes time before the model speaks."""

    LOADING_MODEL = auto()
    PROCESSING_PROMPT = auto()


@dataclass(slots=True)
class TextDelta:
    """A piece of a message's text. `pieces`: how many of the model's own are merged in it."""

    message_id: str
    text: str
    pieces: int


@dataclass(slots=True)
class ReasoningDelta:
    """A piece of what the model thinks before it answers."""

    message_id: str
    text: str
    pieces: int


@dataclass(frozen=True, slots=True)
class StepStarted:
    step_id: str
    name: str


@dataclass(frozen=True, slots=True)
class StepFinished:
    step_id: str
    name: str


@dataclass(frozen=True, slots=True)
class MessageStarted:
    message_id: str


@dataclass(frozen=True, slots=True)
class MessageReplaced:
    """The text so far is void; `text` takes its place."""

    message_id: str
    text: str


@dataclass(frozen=True, slots=True)
class MessageFinished:
    message_id: str


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    tool_call_id: str
    name: str
    message_id: str


@dataclass(frozen=True, slots=True)
class ToolCallArgs:
    tool_call_id: str
    delta: str


@dataclass(frozen=True, slots=True)
class ToolCallFinished:
    tool_call_id: str


@dataclass(frozen=True, slots=True)
class Activity:
    kind: ActivityKind
    subject: str


@dataclass(frozen=True, slots=True)
class UsageReported:
    """The tokens of one model call. Durations by the model server's clock."""

    model: str
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    load_ns: int
    prompt_ns: int
    completion_ns: int


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """The state is stored. `is_base`: it is the one before the run; its id is empty where the thread held nothing."""

    checkpoint_id: str
    is_base: bool


@dataclass(frozen=True, slots=True)
class RunFinished:
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Handoff:
    """Another call has to go on with the run."""


Delta = TextDelta | ReasoningDelta
Event = (
    Delta
    | StepStarted
    | StepFinished
    | MessageStarted
    | MessageReplaced
    | MessageFinished
    | ToolCallStarted
    | ToolCallArgs
    | ToolCallFinished
    | Activity
    | UsageReported
    | CheckpointSaved
    | RunFinished
    | Handoff
)
