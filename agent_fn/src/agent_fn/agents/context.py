"""What a run hands to the nodes of its graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from agent_fn.conversation import ToolCall
from agent_fn.events import Event
from agent_fn.generation import GenerationOptions, ToolDefinition
from agent_fn.models.port import Model, ModelDescription


class Phase(Enum):
    """Where a run's model message stands: what a new attempt could go on from."""

    IDLE = auto()
    """No message is under way: the next thing is a step."""
    WAITING = auto()
    """The model has said nothing yet."""
    REASONING = auto()
    """It thinks. That cannot be gone on with: a new attempt would have to think again."""
    TEXT = auto()
    """It answers."""


@dataclass(slots=True)
class Progress:
    """Kept by whoever streams a model message, read by whoever may have to break it off."""

    phase: Phase = Phase.IDLE
    begun: bool = False
    """Whether any step has: a call that hands off has to have done something, or a run would never end."""


class Flow(Protocol):
    """Where nodes say what happens, as it happens.

    It takes the place of LangGraph's stream writer, whose way out of a node (a call through the loop, a queue, a task
    that waits at it) costs more for each token than everything else here.
    """

    def put(self, events: Sequence[Event]) -> None:
        """Tells the run's caller. Always taken; look at `congested` afterwards."""
        ...

    @property
    def congested(self) -> bool:
        """Too much lies unread: wait for `clear` before reading more from a model."""
        ...

    async def clear(self) -> None:
        """Returns when there is room again."""
        ...


@dataclass(frozen=True, slots=True)
class RecoveredMessage:
    """What an earlier attempt has already told the client of one message."""

    text: str
    reasoning: str
    pieces: int
    reasoning_pieces: int
    finished: bool


@dataclass(frozen=True, slots=True)
class RecoveredToolCall:
    """A tool call that an earlier attempt made known; `result` is None where nobody knows how it ended."""

    call: ToolCall
    result: str | None
    is_error: bool


@dataclass(frozen=True, slots=True)
class Recovery:
    """What earlier attempts of the run have put in its log since the last checkpoint."""

    messages: Mapping[str, RecoveredMessage] = field(default_factory=dict)
    tool_calls: Sequence[RecoveredToolCall] = ()
    may_replace: bool = False


@dataclass(frozen=True, slots=True)
class RunContext:
    """LangGraph's run-scoped context of every agent here."""

    run_id: str
    model: ModelDescription
    models: Model
    options: GenerationOptions
    client_tools: Sequence[ToolDefinition]
    recovery: Recovery
    progress: Progress
    flow: Flow
