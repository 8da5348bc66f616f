"""What a caller asks to be run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_fn.agents.artifacts import Artifact
from agent_fn.agents.context import Recovery
from agent_fn.conversation import Message
from agent_fn.generation import GenerationOptions, ToolDefinition
from agent_fn.safety.rules import SafetyRules


@dataclass(frozen=True, slots=True)
class ThreadRef:
    """The thread that a run reads and extends. `base`: go on from that checkpoint. `empty`: go on from nothing."""

    tenant: str
    thread_id: str
    base: str = ""
    empty: bool = False


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One attempt of a run. `attempt` counts from 1. `budget_s` None leaves it to the settings.

    selection: see RunContext. limits: iterations, tool calls and tokens that the caller wants, 0 where that is left to
    the agent. answers: JSON values by interrupt id. tools_token: what ToolService is called with, empty: not at all.
    documents_token: what tools read documents with, empty: not at all.
    """

    run_id: str
    agent_id: str
    model: str
    input: Sequence[Message]
    thread: ThreadRef | None = None
    options: GenerationOptions = field(default_factory=GenerationOptions)
    client_tools: Sequence[ToolDefinition] = ()
    attempt: int = 1
    recovery: Recovery = field(default_factory=Recovery)
    budget_s: float | None = None
    selection: frozenset[str] | None = None
    limits: tuple[int, int, int] = (0, 0, 0)
    artifacts: Sequence[Artifact] = ()
    answers: Mapping[str, Any] = field(default_factory=dict)
    can_interrupt: bool = False
    safety: SafetyRules = field(default_factory=SafetyRules)
    tenant: str = ""
    tools_token: str = ""
    documents_token: str = ""
