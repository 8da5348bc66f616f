"""What a caller asks to be run."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_fn.agents.context import Recovery
from agent_fn.conversation import Message
from agent_fn.generation import GenerationOptions, ToolDefinition


@dataclass(frozen=True, slots=True)
class ThreadRef:
    """The thread that a run reads and extends. `base`: go on from that checkpoint. `empty`: go on from nothing."""

    tenant: str
    thread_id: str
    base: str = ""
    empty: bool = False


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One attempt of a run. `attempt` counts from 1. `budget_s` None leaves it to the settings."""

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
