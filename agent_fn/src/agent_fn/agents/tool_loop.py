"""A graph in which a model and its tools take turns: START → model ⇄ tools → END.

Everything it decides follows from the conversation, which is in the log: a later attempt goes the same way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from agent_fn.agents.agent import AgentGraph, ConversationState
from agent_fn.agents.context import RunContext
from agent_fn.agents.reply import Reply, message_id_of, stream_reply
from agent_fn.agents.room import fitted, stripped
from agent_fn.agents.text_protocol import with_system
from agent_fn.agents.tool_set import ToolSet, gather_tools
from agent_fn.agents.tool_use import run_calls
from agent_fn.conversation import Message, text_of
from agent_fn.events import FinishReason, StepStarted
from agent_fn.tools.port import Toolbox

TOOLS_STEP: Final = "tools"
_LAST: Final = "No more tools can be called now. Answer with what you have, and say what is missing."
_NO_ANSWER: Final = "I could not come to an answer with the tools and the steps that I have."


@dataclass(frozen=True, slots=True)
class ToolLoop:
    """What makes one agent differ from another.

    system: the agent's own system prompt; empty where it has nothing to say. toolboxes: where its tools are, of two
    with one name the first one's counts. Both are asked before each message; `state` is the graph's.
    """

    system: Callable[[Any, ToolSet], str]
    toolboxes: Callable[[Any, RunContext], Sequence[Toolbox]] = lambda _state, context: (context.toolbox,)

    async def think(self, state: ConversationState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        """The model's next message: calls of tools, or the answer."""
        context, messages = runtime.context, state["messages"]
        context.exposure.learn(messages)
        number = 1 + len(_said(context, messages))
        tools = await gather_tools(context, *self.toolboxes(state, context))
        if must_answer(context, messages):
            last = [*messages, Message(id="last", role="system", content=[{"text": _LAST}])]
            reply = await _ask(context, last, number, ToolSet({}), fallback=_NO_ANSWER)
        else:
            # A schema would keep the model from calling anything: it binds the answer, asked for by itself then.
            is_quiet = bool(tools) and context.options.response_json_schema is not None
            told = with_system(messages, text) if (text := self.system(state, tools)) else messages
            reply = await _ask(context, told, number, tools, is_quiet=is_quiet)
        return {"messages": [reply.message], "finish_reason": reply.finish_reason.name}

    async def use_tools(self, state: ConversationState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        """Runs what the model asked for, but for calls that are the client's."""
        context, message = runtime.context, state["messages"][-1]
        tools = await gather_tools(context, *self.toolboxes(state, context))
        calls = message.get("tool_calls", ())
        own = [call for call in calls if not tools.is_at_client(call["name"])]
        results = await run_calls(context, own, tools, step=StepStarted(f"{message['id']}.tools", TOOLS_STEP))
        at_client = len(own) < len(calls)
        return {"messages": results, "finish_reason": FinishReason.TOOL_CALLS.name if at_client else ""}

    def build_graph(
        self,
        name: str,
        state: type[ConversationState] = ConversationState,
        prepare: Callable[..., Any] | None = None,
    ) -> AgentGraph:
        """The compiled graph; it has no checkpointer of its own, a run on a thread brings one.

        `prepare` is a node that comes before the first message.
        """
        graph = StateGraph(state, context_schema=RunContext)
        # Without a schema of their own they would see what their annotations name.
        graph.add_node("model", self.think, input_schema=state)
        graph.add_node("tools", self.use_tools, input_schema=state)
        if prepare is None:
            graph.add_edge(START, "model")
        else:
            graph.add_node("prepare", prepare)
            graph.add_edge(START, "prepare")
            graph.add_edge("prepare", "model")
        graph.add_conditional_edges("model", _after_thinking, ["tools", "model", END])
        graph.add_conditional_edges("tools", _after_tools, ["model", END])
        return graph.compile(name=name)


def must_answer(context: RunContext, messages: Sequence[Message]) -> bool:
    """Whether the model is to answer now with what it has."""
    limits, history, said = context.limits, context.history, _said(context, messages)
    return (
        len(said) >= limits.iterations
        or history.count >= limits.tool_calls
        or history.is_stuck
        or context.progress.tokens >= limits.tokens
        # It said nothing at all, or nothing that was to be shown.
        or (bool(said) and not said[-1].get("tool_calls"))
    )


def _after_thinking(state: ConversationState) -> str:
    """Where to go from a message: to the tools, to another one where it is empty, or to the end."""
    message = state["messages"][-1]
    if message.get("tool_calls"):
        return "tools"
    return END if text_of(message).strip() else "model"


def _after_tools(state: ConversationState) -> str:
    """The run ends where the client has calls to make."""
    return END if state["finish_reason"] else "model"


async def _ask(context: RunContext, messages: Sequence[Message], number: int, tools: ToolSet, **options: Any) -> Reply:
    fit = fitted(messages, context.model.context_length)
    try:
        return await stream_reply(context, fit, number=number, tools=tools, **options)
    except DormouseError as error:
        # Model servers often read less than their models could. Nothing is told by then.
        short = stripped(fit)
        if error.reason != error_pb2.ERROR_REASON_CONTEXT_LENGTH_EXCEEDED or short == fit:
            raise
        return await stream_reply(context, short, number=number, tools=tools, **options)


def _said(context: RunContext, messages: Sequence[Message]) -> list[Message]:
    """The model's messages in this run."""
    known = {message["id"]: message for message in messages}
    said: list[Message] = []
    while message := known.get(message_id_of(context, len(said) + 1)):
        said.append(message)
    return said
