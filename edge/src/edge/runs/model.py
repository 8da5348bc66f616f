"""What a run is: its specification, its record and the words for its states."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from dormouse.agent.v1.agent_pb2 import GenerationOptions
from dormouse.agent.v1.message_pb2 import ClientTool, Message
from dormouse.agent.v1.run_event_pb2 import Interrupt
from dormouse.agent.v1.safety_pb2 import Safety


class RunStatus(StrEnum):
    """`queued → running → completed | failed | cancelled | interrupted`."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def is_active(self) -> bool:
        """Whether something executes the run, or will by itself."""
        return self in (RunStatus.QUEUED, RunStatus.RUNNING)

    @property
    def holds_thread(self) -> bool:
        """Whether no other run may start on the run's thread. One that waits for a person's answers holds it too."""
        return self.is_active or self is RunStatus.INTERRUPTED


class OnDisconnect(StrEnum):
    """What becomes of a run whose client went away before its end."""

    CANCEL = "cancel"
    CONTINUE = "continue"


class MultitaskStrategy(StrEnum):
    """What a new run does on a thread that another run holds (double-texting)."""

    REJECT = "reject"
    """The new run is refused."""
    ENQUEUE = "enqueue"
    """The new run waits for its turn."""
    INTERRUPT = "interrupt"
    """The other run is cancelled; the new one starts after what it said."""
    ROLLBACK = "rollback"
    """The other run is cancelled and undone."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use up before its agent has to answer with what it has. 0: the agent's default, also the most."""

    iterations: int = 0
    """Turns of the model."""
    tool_calls: int = 0
    tokens: int = 0
    """Prompt and completion of all model calls together."""


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What a client asked for, independent of the protocol it asked in."""

    tenant: str
    user: str
    agent_id: str
    input: Sequence[Message]
    """Without a thread the whole conversation, else what is new. At least one message."""
    model: str = ""
    """Empty: the agent's default."""
    options: GenerationOptions | None = None
    client_tools: Sequence[ClientTool] = ()
    tools: Sequence[str] | None = None
    """Names of the agent's tools that the run may use, which may be none. None: all of them."""
    limits: Limits | None = None
    can_interrupt: bool = False
    """Whether a person can be asked, and answer later with `resume`. Counts for stored runs only."""
    thread_id: str | None = None
    from_empty: bool = False
    """Whether what the thread holds is dropped first: the input is the whole conversation then."""
    stored: bool = False
    """Whether the run gets a row in the database and so is listed. Runs on a thread always are."""
    on_disconnect: OnDisconnect = OnDisconnect.CANCEL
    multitask_strategy: MultitaskStrategy = MultitaskStrategy.REJECT
    may_replace: bool = True
    """Whether the client's protocol can say that a text is replaced by another."""
    request_id: str = ""
    safety: Safety | None = None
    """The rules that the run keeps. Set by the policy, which every run passes before it starts."""
    key_id: str = ""
    """The API key that asked for it. Empty: another credential."""
    run_id: str = ""
    """What the run is to be called, where that had to be known before it starts. Empty: a new id."""


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a run failed."""

    reason: int
    """A dormouse.common.v1.ErrorReason."""
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a run, summed over its model calls."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Includes the reasoning."""
    reasoning_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens - other.prompt_tokens,
            self.completion_tokens - other.completion_tokens,
            self.reasoning_tokens - other.reasoning_tokens,
        )

    @classmethod
    def from_json(cls, value: Mapping[str, int]) -> "Usage":
        """Reads what `to_json` wrote."""
        return cls(value["prompt_tokens"], value["completion_tokens"], value["reasoning_tokens"])

    def to_json(self) -> dict[str, int]:
        """The counts by name."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "reasoning_tokens": self.reasoning_tokens,
        }


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it stands."""

    id: str
    tenant: str
    agent_id: str
    model: str
    status: RunStatus
    created_at: datetime
    thread_id: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    finish_reason: str | None = None
    """`stop`, `length` or `tool_calls`, once completed."""
    error: RunError | None = None
    usage: Usage = field(default_factory=Usage)
    interrupts: Sequence[Interrupt] = ()
    """The open questions of an interrupted run; none in any other state."""


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some runs, newest first, and whether there are more."""

    runs: Sequence[RunRecord]
    has_more: bool
