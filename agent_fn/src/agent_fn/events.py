"""What a run says while it goes on: the domain's side of dormouse.agent.v1.RunEvent."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from dormouse_runtime.filters import Action

from agent_fn.sources import Source


class FinishReason(Enum):
    """Why a run came to its end."""

    STOP = auto()
    LENGTH = auto()
    TOOL_CALLS = auto()


class ActivityKind(Enum):
    """Something that takes time."""

    LOADING_MODEL = auto()
    PROCESSING_PROMPT = auto()
    RUNNING_TOOL = auto()


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
    """`parent_step_id`: the step that it lies in, if any."""

    step_id: str
    name: str
    parent_step_id: str = ""


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
class Citation:
    """What a span of a message rests on, in code points, the end exclusive. Without a source: nothing supports it."""

    message_id: str
    start: int
    end: int
    source: Source | None


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """`message_id` is empty where a plan asked for the call. `at_client`: the client has to run it.

    `step_id`: the step that carries it out, where that has begun before.
    """

    tool_call_id: str
    name: str
    message_id: str
    at_client: bool = False
    step_id: str = ""


@dataclass(frozen=True, slots=True)
class ToolCallArgs:
    tool_call_id: str
    delta: str


@dataclass(frozen=True, slots=True)
class ToolCallFinished:
    tool_call_id: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call brought; see tools.port.ToolOutcome."""

    tool_call_id: str
    content: str
    is_error: bool = False
    outcome_unknown: bool = False
    duration_ms: int = 0
    sources: Sequence[Source] = ()


@dataclass(frozen=True, slots=True)
class StateSnapshot:
    """The run's state; a JSON object."""

    json: str


@dataclass(frozen=True, slots=True)
class StateDelta:
    """A JSON array: an RFC 6902 patch of the run's state."""

    patch_json: str


@dataclass(frozen=True, slots=True)
class ArtifactDelta:
    """A JSON array: an RFC 6902 patch of {"title", "media_type", "lines"} that leads to `version`."""

    artifact_id: str
    version: int
    patch_json: str


@dataclass(frozen=True, slots=True)
class ArtifactSaved:
    """The deltas of this version are complete."""

    artifact_id: str
    version: int


@dataclass(frozen=True, slots=True)
class Activity:
    """`subject` is the model or the tool; `message` a sentence for people."""

    kind: ActivityKind
    subject: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class UsageReported:
    """The tokens of one model call, made in a step. Durations by the model server's clock."""

    model: str
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    load_ns: int
    prompt_ns: int
    completion_ns: int
    step_id: str


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """The state is stored. `is_base`: it is the one before the run; its id is empty where the thread held nothing."""

    checkpoint_id: str
    is_base: bool


@dataclass(frozen=True, slots=True)
class RunFinished:
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Interrupt:
    """A question to a person. `details_json` is what it is about, `response_json_schema` what an answer looks like."""

    id: str
    reason: str
    message: str
    tool_call_id: str = ""
    response_json_schema: str = ""
    details_json: str = ""


@dataclass(frozen=True, slots=True)
class RunInterrupted:
    """The run goes on when all of these are answered; at least one."""

    interrupts: Sequence[Interrupt]


@dataclass(frozen=True, slots=True)
class Handoff:
    """Another call has to go on with the run."""


@dataclass(frozen=True, slots=True)
class FilterMatched:
    """A filter has found something of this kind. `place`: see dormouse.agent.v1.FilterMatched."""

    name: str
    action: Action
    kind: str
    place: str


Delta = TextDelta | ReasoningDelta
Event = (
    Delta
    | StepStarted
    | StepFinished
    | MessageStarted
    | MessageReplaced
    | MessageFinished
    | Citation
    | ToolCallStarted
    | ToolCallArgs
    | ToolCallFinished
    | ToolResult
    | StateSnapshot
    | StateDelta
    | ArtifactDelta
    | ArtifactSaved
    | Activity
    | UsageReported
    | CheckpointSaved
    | RunFinished
    | RunInterrupted
    | Handoff
    | FilterMatched
)
