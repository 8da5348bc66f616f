"""The `auto` agent: lets chat, react or plan-execute answer, whichever the request needs."""

from agent_fn.agents.agent import Agent
from agent_fn.agents.auto.graph import build_graph
from agent_fn.limits import RunLimits


def build_agent() -> Agent:
    """The agent, ready to run."""
    return Agent(
        id="auto",
        description="Chooses who answers: chat, react or plan-execute, by the request, and says why.",
        graph=build_graph(),
        capabilities=("streaming", "threads", "reasoning", "tools", "plans", "client_tools", "interrupts", "routing"),
        any_tools=True,
        limits=RunLimits(iterations=30),
    )
