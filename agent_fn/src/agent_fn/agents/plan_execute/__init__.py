"""The `plan-execute` agent: plans, runs tools side by side, checks what was found, and answers with it."""

from agent_fn.agents.agent import Agent
from agent_fn.agents.plan_execute.graph import build_graph
from agent_fn.limits import RunLimits


def build_agent() -> Agent:
    """The agent, ready to run."""
    return Agent(
        id="plan-execute",
        description=(
            "Plans the steps that a request needs, runs their tools, several at a time where the plan allows, checks "
            "what they brought, and answers. For requests that take more than one call."
        ),
        graph=build_graph(),
        capabilities=("streaming", "threads", "reasoning", "tools", "plans", "client_tools", "interrupts"),
        any_tools=True,
        limits=RunLimits(iterations=50, tool_calls=24, tokens=200_000),
    )
