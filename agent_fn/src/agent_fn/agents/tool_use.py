"""Runs the tool calls of one turn, side by side, and tells what each brought.

A result that an earlier attempt has told is used again, and its tool not run. A call without a result is run under the
same key as before, so that a tool with side effects, which keeps a ledger, takes effect once.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson
from dormouse_runtime import gen_ai, telemetry

from agent_fn.agents.approval import Approved, Rejected, interrupt_id, question, read_answer
from agent_fn.agents.arguments import UnreadableError, read_arguments
from agent_fn.agents.context import RunContext
from agent_fn.agents.endings import HandingOff, Interrupted
from agent_fn.agents.tool_set import OwnTool, ToolSet
from agent_fn.citing.fences import shortened
from agent_fn.citing.sources import shown
from agent_fn.conversation import Message, ToolCall, tool_message
from agent_fn.events import (
    Activity,
    ActivityKind,
    Event,
    Interrupt,
    StepFinished,
    StepStarted,
    ToolCallArgs,
    ToolCallFinished,
    ToolCallStarted,
    ToolResult,
)
from agent_fn.tools.port import ToolOutcome, unknown_outcome

_AT_ONCE = 8
# Of a context's length in tokens, what the results of one turn may fill together, in characters: about half of it.
_CHARACTERS_PER_TOKEN = 2
_UNKNOWN_CONTEXT = 8192
_LEAST_CHARACTERS = 1000
_TOOLS_LISTED = 40


async def run_calls(
    context: RunContext, calls: Sequence[ToolCall], tools: ToolSet, *, step: StepStarted | None = None
) -> list[Message]:
    """Runs these calls, none of which may be the client's; their results as messages, in the order of the calls.

    `step` is told around them if any of them is new. What goes wrong is a result for the model. At most eight run at
    once. Raises Interrupted, after the others have ended, where people have to approve some of them, and HandingOff
    where the attempt's time is used up; both leave the results that there are in the log.
    """
    outcomes = await run_for_outcomes(context, calls, tools, step=step)
    return [tool_message(call, outcome.content, outcome.sources) for call, outcome in zip(calls, outcomes, strict=True)]


async def run_for_outcomes(
    context: RunContext, calls: Sequence[ToolCall], tools: ToolSet, *, step: StepStarted | None = None
) -> list[ToolOutcome]:
    """Like run_calls, for agents that look into what the calls brought."""
    return await _Turn(context, calls, tools, step).run()


def tell_calls(context: RunContext, calls: Sequence[ToolCall]) -> None:
    """Tells of calls that no message asks for, as far as no earlier attempt has."""
    events: list[Event] = []
    for call in calls:
        if context.recovery.tool_call(call["id"]) is None:
            events += call_events(call, message_id="")
    if events:
        context.flow.put(events)


def call_events(call: ToolCall, *, message_id: str, at_client: bool = False, step_id: str = "") -> tuple[Event, ...]:
    """What tells of a call."""
    arguments = (ToolCallArgs(call["id"], call["arguments_json"]),) if call["arguments_json"] else ()
    started = ToolCallStarted(call["id"], call["name"], message_id, at_client, step_id)
    return started, *arguments, ToolCallFinished(call["id"])


@dataclass(slots=True)
class _Job:
    """A call that a tool has to answer."""

    call: ToolCall
    tool: OwnTool
    arguments: Mapping[str, Any]
    is_edited: bool
    doubles: list[ToolCall] = field(default_factory=list)
    """Calls of this turn that ask for the very same."""


class _Turn:
    def __init__(
        self, context: RunContext, calls: Sequence[ToolCall], tools: ToolSet, step: StepStarted | None
    ) -> None:
        self._context = context
        self._calls = calls
        self._tools = tools
        self._step = step
        tokens = context.model.context_length or _UNKNOWN_CONTEXT
        self._characters = max(tokens * _CHARACTERS_PER_TOKEN // max(len(calls), 2), _LEAST_CHARACTERS)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._outcomes: dict[str, ToolOutcome] = {}
        self._remembered: dict[str, tuple[Mapping[str, Any], bool]] = {}
        self._jobs: dict[bytes, _Job] = {}
        self._interrupts: list[Interrupt] = []
        self._handing_off = False
        self._known = {name: tool.description for name, tool in tools.own.items()}

    async def run(self) -> list[ToolOutcome]:
        """See run_for_outcomes."""
        known = {call["id"] for call in self._calls if self._is_recovered(call)}
        if len(known) < len(self._calls) and self._step is not None:
            self._context.flow.put([self._step])
        # In the order of the calls, so that a later attempt decides the same.
        for call in self._calls:
            self._decide(call, is_recovered=call["id"] in known)
        if self._jobs:
            try:
                async with asyncio.TaskGroup() as group:
                    for job in self._jobs.values():
                        group.create_task(self._work(job), name=f"call {job.call['id']}")
            except BaseExceptionGroup as failed:
                raise failed.exceptions[0] from None
        if self._handing_off:
            raise HandingOff
        if self._interrupts:
            raise Interrupted(self._interrupts)
        for call in self._calls:
            # From here on the model knows what they have brought.
            if (tool := self._tools.own.get(call["name"])) is not None:
                self._context.exposure.brought(tool.description, self._outcomes[call["id"]].content)
            if call["id"] in self._remembered:
                arguments, has_side_effects = self._remembered[call["id"]]
                outcome = self._outcomes[call["id"]]
                is_rejected = isinstance(self._verdict(call, arguments), Rejected)
                self._context.history.brought(
                    call["name"], arguments, outcome, changes=has_side_effects, is_final=is_rejected
                )
        return [self._outcomes[call["id"]] for call in self._calls]

    def _is_recovered(self, call: ToolCall) -> bool:
        known = self._context.recovery.tool_call(call["id"])
        if known is None or (outcome := known.outcome) is None:
            return False
        self._outcomes[call["id"]] = outcome
        return True

    def _decide(self, call: ToolCall, *, is_recovered: bool) -> None:
        """Counts the call, and answers it here or makes it a job."""
        context, name = self._context, call["name"]
        tool = self._tools.own.get(name)
        try:
            arguments = read_arguments(call["arguments_json"])
        except UnreadableError as unreadable:
            context.history.count += 1
            if not is_recovered:
                self._tell(call, ToolOutcome(f"{unreadable} Call {name} again with a JSON object.", is_error=True))
            return
        earlier = context.history.asked(name, arguments)
        if earlier is None:
            self._remembered[call["id"]] = arguments, tool is not None and tool.description.has_side_effects
        why = "" if tool is None else context.exposure.question_about(tool.description, arguments, self._known)
        if is_recovered:
            return
        if context.history.count > context.limits.tool_calls:
            most = context.limits.tool_calls
            text = f"The {most} tool calls that the run may make are made. Answer with what you have."
            self._tell(call, ToolOutcome(text, is_error=True))
        elif earlier is not None:
            self._tell(call, _repeated(earlier))
        elif tool is None:
            self._tell(call, self._no_such_tool(call))
        else:
            self._plan(call, tool, arguments, why)

    def _plan(self, call: ToolCall, tool: OwnTool, arguments: Mapping[str, Any], why: str) -> None:
        """Makes the call a job, once somebody has approved it where that is wanted. `why`: see Exposure."""
        key = orjson.dumps([call["name"], arguments], option=orjson.OPT_SORT_KEYS)
        if first := self._jobs.get(key):
            del self._remembered[call["id"]]
            first.doubles.append(call)
            return
        is_edited = False
        verdict = self._verdict(call, arguments)
        if tool.description.needs_approval or why or verdict is not None:
            match verdict:
                case Approved():
                    arguments, is_edited = verdict.arguments, verdict.is_edited
                case Rejected(reason):
                    self._tell(call, ToolOutcome(_rejected(reason), is_error=True))
                    return
                case None if self._context.can_interrupt:
                    self._interrupts.append(question(call, arguments, why))
                    return
                case None:
                    self._tell(call, ToolOutcome(_NOBODY_TO_ASK, is_error=True))
                    return
        self._jobs[key] = _Job(call, tool, arguments, is_edited)

    def _verdict(self, call: ToolCall, arguments: Mapping[str, Any]) -> Approved | Rejected | None:
        return read_answer(self._context.answers.get(interrupt_id(call)), arguments)

    async def _work(self, job: _Job) -> None:
        context, call, progress = self._context, job.call, self._context.progress
        async with self._slots:
            if progress.ending:
                self._handing_off = True
                return
            progress.begun = True
            with telemetry.span(f"{gen_ai.EXECUTE_TOOL} {call['name']}", attributes=_attributes(call)) as span:
                outcome = await job.tool.toolbox.invoke(
                    ToolCall(id=call["id"], name=call["name"], arguments_json=orjson.dumps(job.arguments).decode()),
                    key=f"{context.run_id}:{call['id']}",
                    tell=lambda text: context.flow.put([Activity(ActivityKind.RUNNING_TOOL, call["name"], text)]),
                )
                if outcome.is_error:
                    span.fail("tool_error")
        if not outcome.is_answered and job.tool.description.has_side_effects and self._may_have_begun(call):
            outcome = unknown_outcome(call["name"])
        if job.is_edited:
            outcome = replace(outcome, content=_edited(job.arguments) + outcome.content)
        outcome = context.sources.relabelled(outcome)
        self._tell(call, outcome, job.doubles)

    def _tell(self, call: ToolCall, outcome: ToolOutcome, doubles: Sequence[ToolCall] = ()) -> None:
        """Tells a result; with the last one the step ends.

        In one piece, so that no log has one without the other. So with the doubles of a call: a later attempt that knew
        of the call's result only would take the first of them for a call of its own and run the tool again.
        """
        events = self._result(call, outcome)
        for double in doubles:
            events += self._result(double, _repeated(outcome))
        if self._step is not None and len(self._outcomes) == len(self._calls):
            events.append(StepFinished(self._step.step_id, self._step.name))
        self._context.progress.begun = True
        self._context.flow.put(events)

    def _result(self, call: ToolCall, outcome: ToolOutcome) -> list[Event]:
        if len(outcome.content) > self._characters:
            note = f"[The result is cut here: it has {len(outcome.content):,} characters.]"
            outcome = shown(outcome, shortened(outcome.content, self._characters, note))
        self._outcomes[call["id"]] = outcome
        self._context.sources.note(outcome)
        result = ToolResult(
            call["id"],
            outcome.content,
            outcome.is_error,
            outcome.outcome_unknown,
            outcome.duration_ms,
            outcome.sources,
        )
        return [result, *outcome.events]

    def _no_such_tool(self, call: ToolCall) -> ToolOutcome:
        name = call["name"]
        if not self._tools.is_complete:
            if self._may_have_begun(call):
                return unknown_outcome(name)
            return ToolOutcome("The tools cannot be reached at the moment. It was not run.", is_error=True)
        names = list(self._tools.own)[:_TOOLS_LISTED]
        known = f"There are: {', '.join(names)}." if names else "There are none at all now: answer without."
        return ToolOutcome(f"There is no tool {name!r}. {known}", is_error=True)

    def _may_have_begun(self, call: ToolCall) -> bool:
        """Whether an earlier attempt told of the call, and perhaps made it."""
        return self._context.recovery.tool_call(call["id"]) is not None


_NOBODY_TO_ASK: Final = (
    "This tool runs only when a person approves the call, and nobody can be asked in this run. It was not run. Go on "
    "without it, and say so where it matters."
)


def _rejected(reason: str) -> str:
    because = f" The reason: {reason.rstrip('.')}." if reason else ""
    return f"A person has rejected this call; it was not run.{because} Do not make it again. Go on without it."


def _edited(arguments: Mapping[str, Any]) -> str:
    text = orjson.dumps(arguments).decode()
    return f"A person has changed the arguments of this call to {text} before it ran. Its result:\n\n"


def _repeated(earlier: ToolOutcome) -> ToolOutcome:
    """The earlier result, for a call that was made before."""
    note = "This is the result of the same call, which you have made before; it was not run again.\n\n"
    content = earlier.content if earlier.content.startswith(note) else note + earlier.content
    return ToolOutcome(content, earlier.is_error, earlier.outcome_unknown, sources=earlier.sources)


def _cut(outcome: ToolOutcome, characters: int) -> str:
    content = outcome.content
    kept = content[:characters]
    if outcome.sources and len(fence := _last_fence(content)) < characters:
        # What is quoted ends where its tool says that it ends.
        kept = f"{content[: characters - len(fence)]}\n{fence}"
    return f"{kept}\n[The result is cut here: it has {len(content):,} characters.]"


def _last_fence(content: str) -> str:
    return next((line for line in reversed(content.splitlines()) if line.startswith("===")), "")


def _attributes(call: ToolCall) -> dict[str, telemetry.Value]:
    return {
        gen_ai.OPERATION_NAME: gen_ai.EXECUTE_TOOL,
        gen_ai.TOOL_NAME: call["name"],
        gen_ai.TOOL_CALL_ID: call["id"],
        gen_ai.TOOL_TYPE: "function",
    }
