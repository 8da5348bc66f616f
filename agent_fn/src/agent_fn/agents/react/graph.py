"""The react graph: a model and the tools of the run take turns."""

from typing import Any

from agent_fn.agents.agent import AgentGraph
from agent_fn.agents.react import prompt
from agent_fn.agents.tool_loop import ToolLoop
from agent_fn.agents.tool_set import ToolSet


def _system(_state: Any, tools: ToolSet) -> str:
    return prompt.system(tools)


def build_graph() -> AgentGraph:
    """The compiled graph; it has no checkpointer of its own, a run on a thread brings one."""
    return ToolLoop(_system).build_graph("react")
