"""The `react` agent: thinks, calls tools, looks at what they brought, until it can answer."""

from agent_fn.agents.agent import Agent
from agent_fn.agents.react.graph import build_graph


def build_agent() -> Agent:
    """The agent, ready to run."""
    return Agent(
        id="react",
        description="Answers with the help of tools: calls those that fit, side by side where it can, and reads what "
        "they bring before it goes on.",
        graph=build_graph(),
        capabilities=("streaming", "threads", "reasoning", "tools", "client_tools", "interrupts"),
        any_tools=True,
    )
