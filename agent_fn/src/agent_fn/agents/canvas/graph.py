"""The canvas graph: a model takes turns with the desk and the tools of the run."""

from collections.abc import Sequence
from typing import Annotated, Any

from langgraph.channels import UntrackedValue
from langgraph.runtime import Runtime

from agent_fn.agents.agent import AgentGraph, ConversationState
from agent_fn.agents.canvas import prompt
from agent_fn.agents.canvas.desk import Desk
from agent_fn.agents.context import RunContext
from agent_fn.agents.tool_loop import ToolLoop
from agent_fn.agents.tool_set import ToolSet
from agent_fn.tools.port import Toolbox


class CanvasState(ConversationState):
    """`desk` is this attempt's; what it holds is in the log."""

    desk: Annotated[Desk, UntrackedValue]


async def _open_desk(state: CanvasState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    return {"desk": Desk.of(runtime.context)}


def _system(state: CanvasState, tools: ToolSet) -> str:
    return prompt.system(state["desk"], tools)


def _toolboxes(state: CanvasState, context: RunContext) -> Sequence[Toolbox]:
    return state["desk"], context.toolbox


def build_graph() -> AgentGraph:
    """The compiled graph."""
    return ToolLoop(_system, _toolboxes).build_graph("canvas", CanvasState, _open_desk)
