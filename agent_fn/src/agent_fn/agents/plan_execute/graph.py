"""The plan-execute graph: plan → carry out, wave by wave → reason → verify → plan again or answer.

What comes next is read from the record in the run's state, never from what this attempt has done: an attempt that goes
on with a run begins where the log ends.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import orjson
from langgraph.channels import UntrackedValue
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command

from agent_fn.agents.agent import AgentGraph, ConversationState
from agent_fn.agents.asking import Answered, ask_json
from agent_fn.agents.context import RunContext
from agent_fn.agents.plan_execute import prompts
from agent_fn.agents.plan_execute.carrying_out import Results, Wave, ready
from agent_fn.agents.plan_execute.plan import MOST_STEPS, Plan, plan_schema, read_plan, single_step
from agent_fn.agents.plan_execute.record import (
    DONE,
    MOST_ROUNDS,
    PENDING,
    RUNNING,
    SKIPPED,
    PlanRecord,
    RecordedStep,
)
from agent_fn.agents.reply import Reply, stream_reply
from agent_fn.agents.tool_set import ToolSet, gather_tools
from agent_fn.citing.citations import unsupported_sentences
from agent_fn.conversation import Message, text_of
from agent_fn.events import Event
from agent_fn.sources import to_stored

Phase = Literal["plan", "carry_out", "reason", "verify", "answer"]

_FINDINGS_CHARACTERS: Final = 6000
_ANSWER_TURNS: Final = 1


class PlanState(ConversationState):
    """`results` are this attempt's; what outlives it is in the log."""

    results: Annotated[Results, UntrackedValue]


@dataclass(slots=True)
class _Run:
    """What the nodes look at."""

    context: RunContext
    record: PlanRecord
    tools: ToolSet

    @classmethod
    async def of(cls, runtime: Runtime[RunContext]) -> "_Run":
        context = runtime.context
        return cls(context, PlanRecord(context.state), await gather_tools(context))

    def step_id(self, phase: str) -> str:
        """The id of a step of the last round."""
        return f"{self.context.run_id}.p{self.record.rounds}.{phase}"

    @property
    def may_go_on(self) -> bool:
        """Whether the run's limits leave room for more than the answer."""
        limits, context = self.context.limits, self.context
        return (
            context.progress.tokens < limits.tokens
            and self.record.model_turns + _ANSWER_TURNS < limits.iterations
            and context.history.count < limits.tool_calls
            and not context.history.is_stuck
        )

    def next_phase(self) -> Phase:
        """What the record says is to be done next."""
        record = self.record
        if not record.rounds:
            return "plan" if self.tools.own and self.may_go_on else "answer"
        steps = record.steps
        if not any(recorded.step.tool for recorded in steps):
            return "answer"
        if ready(steps):
            return "carry_out"
        if not self.may_go_on:
            return "answer"
        if record.findings is None:
            return "reason"
        if record.verification is None:
            return "verify"
        is_over = record.verification["complete"] or record.rounds == MOST_ROUNDS
        return "answer" if is_over else "plan"


async def begin(state: PlanState, runtime: Runtime[RunContext]) -> Command[Phase]:
    """Finds out where the log ends."""
    run = await _Run.of(runtime)
    run.context.sources.learn(state["messages"])
    run.context.exposure.learn(state["messages"])
    _remember_calls(run)
    return Command(update={"results": Results(run.context)}, goto=run.next_phase())


def _remember_calls(run: _Run) -> None:
    """Counts the calls of earlier attempts whose steps have ended: nothing else goes through them again."""
    context = run.context
    for number in range(run.record.rounds):
        for recorded in run.record.steps_of(number):
            known = context.recovery.tool_call(f"{context.run_id}.{recorded.key}")
            outcome = known.outcome if known is not None else None
            if known is None or outcome is None or not recorded.is_settled:
                continue
            arguments = orjson.loads(known.call["arguments_json"] or "{}")
            tool = run.tools.own.get(known.call["name"])
            if tool is not None:
                context.exposure.brought(tool.description, outcome.content)
            if context.history.asked(known.call["name"], arguments) is None:
                changes = tool is not None and tool.description.has_side_effects
                context.history.brought(known.call["name"], arguments, outcome, changes=changes)


async def plan(state: PlanState, runtime: Runtime[RunContext]) -> Command[Phase]:
    """A plan for the request, later for what is missing of it. What does not work is asked for once more."""
    run = await _Run.of(runtime)
    made, ending = await _ask_for_plan(run, state["messages"])
    steps = made.steps if made is not None and made.steps else single_step(_request(state["messages"])).steps
    run.context.flow.put([*ending, run.record.begin_round(steps)])
    return Command(goto=run.next_phase())


async def _ask_for_plan(run: _Run, conversation: Sequence[Message]) -> tuple[Plan | None, Sequence[Event]]:
    step_id = f"{run.context.run_id}.p{run.record.rounds + 1}.plan"
    made, ending = await _ask_once(run, conversation, step_id, ())
    if made is None or not made.problems:
        return made, ending
    # Told only together with the second: a log has both, or neither and the plan is asked for anew.
    again, ending_again = await _ask_once(run, conversation, f"{step_id}.again", made.problems)
    return again or made, [*ending_again, *ending]


async def _ask_once(
    run: _Run, conversation: Sequence[Message], step_id: str, problems: Sequence[str]
) -> tuple[Plan | None, Sequence[Event]]:
    names = list(run.tools.own)
    definitions = [tool.description.definition for tool in run.tools.own.values()]
    answered = await ask_json(
        run.context,
        step_id=step_id,
        step_name="planning",
        messages=prompts.planning(conversation, definitions, run.record, problems),
        schema=plan_schema(names),
    )
    return read_plan(answered.value, names), answered.ending


async def carry_out(state: PlanState, runtime: Runtime[RunContext]) -> Command[Phase]:
    """The steps that can be carried out now. Where the limits are reached, the others are given up."""
    run = await _Run.of(runtime)
    may_begin = run.may_go_on
    await Wave(run.context, state["messages"], run.tools, run.record, state["results"]).carry_out(may_begin=may_begin)
    if not may_begin:
        _close(run)
    return Command(goto=run.next_phase())


async def reason(state: PlanState, runtime: Runtime[RunContext]) -> Command[Phase]:
    """What the round has found; the steps without a tool are done by it."""
    run = await _Run.of(runtime)

    def ask(tight: bool) -> Awaitable[Answered]:
        return ask_json(
            run.context,
            step_id=run.step_id("reason"),
            step_name="reasoning",
            messages=prompts.reasoning(state["messages"], _brought(run, state["results"], run.record.steps, tight)),
            schema=prompts.FINDINGS_SCHEMA,
        )

    answered = await prompts.asked_in_room(ask)
    findings = str((answered.value or {}).get("findings") or "").strip()
    # A model that finds no words leaves the results to speak for themselves.
    findings = findings or "\n".join(f"{step.step.task}: {step.result}" for step in run.record.steps if step.result)
    thought = {recorded: (DONE, "") for recorded in run.record.steps if not recorded.is_settled}
    marked = [run.record.mark(thought)] if thought else []
    run.context.flow.put([*answered.ending, *marked, run.record.conclude(findings[:_FINDINGS_CHARACTERS])])
    return Command(goto=run.next_phase())


async def verify(state: PlanState, runtime: Runtime[RunContext]) -> Command[Phase]:
    """Whether that answers the request, and what is missing. A verdict that cannot be read lets the answer come."""
    run = await _Run.of(runtime)

    def ask(tight: bool) -> Awaitable[Answered]:
        brought = _brought(run, state["results"], run.record.steps, tight)
        return ask_json(
            run.context,
            step_id=run.step_id("verify"),
            step_name="verification",
            messages=prompts.verification(state["messages"], run.record, brought, _unsupported(run)),
            schema=prompts.VERIFICATION_SCHEMA,
        )

    answered = await prompts.asked_in_room(ask)
    verdict = answered.value or {"complete": True, "reason": "It could not be checked."}
    complete = verdict.get("complete") is not False
    why = str(verdict.get("reason") or "")
    missing = _texts(verdict.get("missing")) or [why or "what the request asks for"]
    run.context.flow.put(
        [*answered.ending, run.record.verify(complete=complete, missing=[] if complete else missing, reason=why)]
    )
    return Command(goto=run.next_phase())


async def answer(state: PlanState, runtime: Runtime[RunContext]) -> Command[Any]:
    """The one message that people read, made of what was found."""
    run = await _Run.of(runtime)
    _close(run)
    steps = [recorded for number in range(run.record.rounds) for recorded in run.record.steps_of(number)]

    def ask(tight: bool) -> Awaitable[Reply]:
        brought = _brought(run, state["results"], steps, tight)
        is_away = not run.tools.is_complete
        return stream_reply(
            run.context, prompts.answering(state["messages"], run.record, brought, are_tools_away=is_away)
        )

    reply = await prompts.asked_in_room(ask)
    message = reply.message
    # The calls are no messages, so the thread has what they quoted only here.
    if cited := run.context.sources.cited_in(text_of(message)):
        message = Message({**message, "sources": to_stored(cited)})
    return Command(update={"messages": [message], "finish_reason": reply.finish_reason.name}, goto=END)


def _unsupported(run: _Run) -> list[str]:
    """Sentences of the findings that nothing supports, where documents were searched."""
    if not run.context.sources.are_in_use:
        return []
    return unsupported_sentences("\n\n".join(run.record.all_findings), run.context.sources)


def _close(run: _Run) -> None:
    """Nothing more is carried out: calls that were not made are given up, thoughts are the answer's."""
    left = {
        recorded: (SKIPPED, "The limits of the run are reached.") if recorded.step.tool else (DONE, "")
        for recorded in run.record.steps
        if recorded.status in (PENDING, RUNNING)
    }
    if left:
        run.context.flow.put([run.record.mark(left)])


def _brought(
    run: _Run, results: Results, steps: Sequence[RecordedStep], tight: bool
) -> Sequence[tuple[RecordedStep, str]]:
    """What there is to go on, as far as it fits into a prompt."""
    known = [(recorded, text) for recorded, text in results.of(steps) if recorded.step.tool or text]
    return prompts.fitted(run.context, known, tight=tight)


def _texts(value: Any) -> list[str]:
    entries = value if isinstance(value, list) else []
    return [text.strip() for text in entries if isinstance(text, str) and text.strip()][:MOST_STEPS]


def _request(conversation: Sequence[Message]) -> str:
    return next((text_of(message) for message in reversed(conversation) if message["role"] == "user"), "")


def build_graph() -> AgentGraph:
    """The compiled graph."""
    graph = StateGraph(PlanState, context_schema=RunContext)
    for node in (begin, plan, carry_out, reason, verify, answer):
        graph.add_node(node.__name__, node)
    graph.add_edge(START, "begin")
    return graph.compile(name="plan-execute")
