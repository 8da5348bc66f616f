"""What an agent is: a compiled graph with a name."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

from langgraph.channels import UntrackedValue
from langgraph.graph.state import CompiledStateGraph

from agent_fn.agents.context import RunContext
from agent_fn.conversation import Message, merge_messages
from agent_fn.limits import RunLimits


class ConversationState(TypedDict):
    """What every agent's state holds at least.

    `finish_reason` is the name of an events.FinishReason; it belongs to the run and is not stored with the thread.
    """

    messages: Annotated[list[Message], merge_messages]
    finish_reason: Annotated[str, UntrackedValue]


AgentGraph = CompiledStateGraph[Any, RunContext, Any, Any]


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent. The graph's nodes say what happens by their context's `flow`.

    tools: the names of its own. any_tools: it uses those of the run's toolbox too. limits: the most that a run may use
    up, and what it may where its caller asks for nothing. steps: how many a run may take at the most; more is a defect.
    """

    id: str
    description: str
    graph: AgentGraph
    tools: Sequence[str] = ()
    capabilities: Sequence[str] = ()
    any_tools: bool = False
    limits: RunLimits = field(default_factory=RunLimits)
    steps: int = 100
