"""The auto graph: START → route → the graph of chat, react or plan-execute → END.

The choice is in the run's state under /route, so a later attempt makes the same one:

    {"agent", "why", "by": "signals" | "model", "scores": {agent: number}}
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from dormouse_runtime.errors import DormouseError
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command

from agent_fn.agents.agent import AgentGraph, ConversationState
from agent_fn.agents.asking import ask_json
from agent_fn.agents.auto.signals import CHAT, PLAN, REACT, Verdict, judge
from agent_fn.agents.chat.graph import build_graph as build_chat
from agent_fn.agents.context import RunContext
from agent_fn.agents.plan_execute.graph import build_graph as build_plan_execute
from agent_fn.agents.react.graph import build_graph as build_react
from agent_fn.agents.text_protocol import with_system
from agent_fn.agents.tool_set import ToolSet, gather_tools
from agent_fn.conversation import Message
from agent_fn.events import Event, StepFinished, StepStarted

_BUILD: Final[Mapping[str, Callable[[], AgentGraph]]] = {CHAT: build_chat, REACT: build_react, PLAN: build_plan_execute}
_STEP_NAME: Final = "route"
_MOST_TOKENS: Final = 200
_TOOLS_LISTED: Final = 40
_WHY_CHARACTERS: Final = 300
_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "agent": {"enum": list(_BUILD)},
        "why": {"type": "string", "description": "one short sentence"},
    },
    "required": ["agent", "why"],
}
_SYSTEM: Final = """\
You choose who answers the user's last message. Answer with a JSON object: the agent, and why in one short sentence.

The agents:
- chat: answers from what it knows: conversation, explanations, texts, code, work on a text that is given.
- react: looks something up, calculates or does something with one tool or a few, one after the other.
- plan-execute: several things to find out or do that need a plan: research, comparisons, steps that build on others.

The tools that react and plan-execute have: {tools}."""


async def route(
    state: ConversationState, runtime: Runtime[RunContext]
) -> Command[Literal["chat", "react", "plan-execute"]]:
    """Chooses the agent, unless an earlier attempt has."""
    context = runtime.context
    context.exposure.learn(state["messages"])
    chosen = context.state.get("/route/agent")
    if chosen not in _BUILD:
        chosen = await _choose(context, state["messages"])
    return Command(goto=chosen)


async def _choose(context: RunContext, conversation: Sequence[Message]) -> str:
    tools = await gather_tools(context)
    verdict = judge(conversation, tools.own)
    step_id = f"{context.run_id}.route"
    if verdict.is_clear:
        agent, why, by = verdict.agent, verdict.why, "signals"
        events: Sequence[Event] = [StepStarted(step_id, _STEP_NAME), StepFinished(step_id, _STEP_NAME)]
    else:
        agent, why, by, events = await _ask_model(context, conversation, tools, verdict, step_id)
    *before, end = events
    told = context.state.set("/route", {"agent": agent, "why": why, "by": by, "scores": verdict.scores})
    context.flow.put([*before, told, end])
    return agent


async def _ask_model(
    context: RunContext, conversation: Sequence[Message], tools: ToolSet, verdict: Verdict, step_id: str
) -> tuple[str, str, str, Sequence[Event]]:
    """Agent, why, by whom, and the events of the question's end; the signals' best guess where the model has none."""
    names = ", ".join(list(tools.own)[:_TOOLS_LISTED])
    try:
        answered = await ask_json(
            context,
            step_id=step_id,
            step_name=_STEP_NAME,
            messages=with_system(conversation, _SYSTEM.format(tools=names)),
            schema=_SCHEMA,
            max_tokens=_MOST_TOKENS,
        )
    except DormouseError as error:
        # What is wrong with the model server for longer the agent's own call will say.
        ending: Sequence[Event] = [StepFinished(step_id, _STEP_NAME)]
        return verdict.agent, f"{verdict.why} The model could not be asked: {error.reason_name}.", "signals", ending
    value = answered.value or {}
    agent = value.get("agent")
    if agent not in _BUILD:
        return verdict.agent, f"{verdict.why} The model did not choose.", "signals", answered.ending
    return str(agent), str(value.get("why") or "")[:_WHY_CHARACTERS], "model", answered.ending


def build_graph() -> AgentGraph:
    """The compiled graph, with the agents' own graphs inside."""
    graph = StateGraph(ConversationState, context_schema=RunContext)
    graph.add_node("route", route)
    graph.add_edge(START, "route")
    for name, build in _BUILD.items():
        # The run's checkpointer is the outer graph's alone: what an inner one decides is in the log.
        graph.add_node(name, build().copy({"checkpointer": False}))
        graph.add_edge(name, END)
    return graph.compile(name="auto")
