"""The chat graph: START → model → END."""

from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from agent_fn.agents.agent import AgentGraph, ConversationState
from agent_fn.agents.context import RunContext
from agent_fn.agents.reply import stream_reply


async def answer(state: ConversationState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """The model's message, streamed while it is made."""
    runtime.context.exposure.learn(state["messages"])
    reply = await stream_reply(runtime.context, state["messages"])
    return {"messages": [reply.message], "finish_reason": reply.finish_reason.name}


def build_graph() -> AgentGraph:
    """The compiled graph; it has no checkpointer of its own, a run on a thread brings one."""
    graph = StateGraph(ConversationState, context_schema=RunContext)
    graph.add_node("model", answer)
    graph.add_edge(START, "model")
    graph.add_edge("model", END)
    return graph.compile(name="chat")
