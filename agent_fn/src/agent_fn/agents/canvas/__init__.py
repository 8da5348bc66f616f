"""The `canvas` agent: writes documents with the user, version by version."""

from agent_fn.agents.agent import Agent
from agent_fn.agents.canvas.graph import build_graph
from agent_fn.agents.canvas.requests import TOOLS
from agent_fn.limits import RunLimits


def build_agent() -> Agent:
    """The agent, ready to run."""
    return Agent(
        id="canvas",
        description="Writes and edits documents beside the conversation: code, Markdown, HTML, CSV, JSON. Every change "
        "makes a version.",
        graph=build_graph(),
        tools=tuple(tool.name for tool in TOOLS),
        capabilities=("streaming", "threads", "reasoning", "tools", "client_tools", "interrupts", "artifacts"),
        any_tools=True,
        limits=RunLimits(iterations=20, tool_calls=40),
    )
