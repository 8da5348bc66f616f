"""The `chat` agent: one answer of one model."""

from agent_fn.agents.agent import Agent
from agent_fn.agents.chat.graph import build_graph


def build_agent() -> Agent:
    """The agent, ready to run."""
    return Agent(
        id="chat",
        description="Answers in a conversation. Tools of the client are offered to the model and handed back as calls.",
        graph=build_graph(),
        capabilities=("streaming", "threads", "reasoning", "client_tools"),
    )
