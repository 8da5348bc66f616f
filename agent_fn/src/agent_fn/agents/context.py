"""What a run hands to the nodes of its graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, Protocol

from agent_fn.agents.artifacts import Artifact
from agent_fn.agents.call_history import CallHistory
from agent_fn.agents.run_state import RunState
from agent_fn.citing.sources import Sources
from agent_fn.conversation import ToolCall
from agent_fn.events import Event
from agent_fn.generation import GenerationOptions, ToolDefinition
from agent_fn.limits import RunLimits
from agent_fn.models.port import Model, ModelDescription
from agent_fn.safety.exposure import Exposure
from agent_fn.safety.outflow import Outflow
from agent_fn.safety.rules import SafetyRules, mark_of
from agent_fn.sources import Source
from agent_fn.tools.port import NoTools, Toolbox, ToolOutcome


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
    """Kept by whoever works, read by whoever may have to break it off."""

    phase: Phase = Phase.IDLE
    begun: bool = False
    """Whether any step has: a call that hands off has to have done something, or a run would never end."""
    ending: bool = False
    """The attempt is to end at the next step: nothing that takes long is begun any more."""
    tokens: int = 0
    """Prompt and completion of all model calls of the run, earlier attempts' included."""


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
    outcome_unknown: bool = False
    """With a result: it says that nobody knows whether the call was carried out."""
    sources: Sequence[Source] = ()

    @property
    def outcome(self) -> ToolOutcome | None:
        """What the call has brought; None where nobody knows."""
        if self.result is None:
            return None
        return ToolOutcome(self.result, self.is_error, self.outcome_unknown, sources=self.sources)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What earlier attempts of the run have put in its log since the last checkpoint.

    `state_json` and `state_patches_json`: what the run's state is built of, see RunState. `tokens`: of all usage.
    """

    messages: Mapping[str, RecoveredMessage] = field(default_factory=dict)
    tool_calls: Sequence[RecoveredToolCall] = ()
    may_replace: bool = False
    state_json: str = ""
    state_patches_json: Sequence[str] = ()
    tokens: int = 0

    def tool_call(self, tool_call_id: str) -> RecoveredToolCall | None:
        """The call with this id, if an earlier attempt made it known."""
        return next((known for known in self.tool_calls if known.call["id"] == tool_call_id), None)


@dataclass(frozen=True, slots=True)
class RunContext:
    """LangGraph's run-scoped context of every agent here.

    toolbox: tools from elsewhere; see tool_set for all that an agent may use. selection: names of the tools that the
    caller lets the run use, None for all. limits: what it may use up. artifacts: the documents of its thread. answers:
    what people answered, by interrupt id, as JSON values. can_interrupt: whether a person can be asked. state: what the
    run shows of itself. history: its tool calls so far. sources: what it can cite. safety: the rules that it keeps.
    """

    run_id: str
    model: ModelDescription
    models: Model
    options: GenerationOptions
    client_tools: Sequence[ToolDefinition]
    recovery: Recovery
    progress: Progress
    flow: Flow
    toolbox: Toolbox = field(default_factory=NoTools)
    selection: frozenset[str] | None = None
    limits: RunLimits = field(default_factory=RunLimits)
    artifacts: Sequence[Artifact] = ()
    answers: Mapping[str, Any] = field(default_factory=dict)
    can_interrupt: bool = False
    state: RunState = field(default_factory=RunState)
    history: CallHistory = field(default_factory=CallHistory)
    sources: Sources = field(default_factory=Sources)
    safety: SafetyRules = field(default_factory=SafetyRules)
    exposure: Exposure = field(init=False)
    """What the run has read of strangers."""
    outflow: Outflow = field(init=False)
    """What passes before anybody hears what the model says."""

    def __post_init__(self) -> None:
        if not self.safety.mark:
            object.__setattr__(self, "safety", replace(self.safety, mark=mark_of(self.run_id)))
        exposure = Exposure(self.safety, self.run_id)
        object.__setattr__(self, "exposure", exposure)
        object.__setattr__(self, "outflow", Outflow(self.safety, exposure, self.flow.put))
