"""Carries out what of a plan can be carried out now: chooses arguments, runs the tools side by side, thinks."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError

from agent_fn.agents.asking import Answered, ask_json
from agent_fn.agents.context import RunContext
from agent_fn.agents.plan_execute import prompts
from agent_fn.agents.plan_execute.record import (
    DONE,
    FAILED,
    PENDING,
    RUNNING,
    SKIPPED,
    PlanRecord,
    RecordedStep,
    short,
)
from agent_fn.agents.tool_set import OwnTool, ToolSet
from agent_fn.agents.tool_use import call_events, run_for_outcomes
from agent_fn.conversation import Message, ToolCall
from agent_fn.events import Event, StepFinished, StepStarted
from agent_fn.tools.port import Toolbox, ToolDescription, ToolOutcome

_THOUGHT_CHARACTERS = 2000
_ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


class Results:
    """What the steps have brought, by their key; those of earlier attempts included."""

    def __init__(self, context: RunContext) -> None:
        self._texts: dict[str, str] = {}
        prefix = f"{context.run_id}."
        for known in context.recovery.tool_calls:
            if known.result is not None and known.call["id"].startswith(prefix):
                self._texts[known.call["id"].removeprefix(prefix)] = known.result

    def __getitem__(self, recorded: RecordedStep) -> str:
        """The whole result of a tool, or what the record holds of it."""
        return self._texts.get(recorded.key, recorded.result)

    def __setitem__(self, recorded: RecordedStep, text: str) -> None:
        self._texts[recorded.key] = text

    def of(self, steps: Sequence[RecordedStep]) -> list[tuple[RecordedStep, str]]:
        """The steps that have come to an end, each with its result."""
        return [(recorded, self[recorded]) for recorded in steps if recorded.is_settled]


def ready(steps: Sequence[RecordedStep]) -> list[RecordedStep]:
    """Steps that can begin or go on: they are under way, or all that they wait for has come to an end.

    A step without a tool is one of them only if a tool waits for it: the others are for the reasoning that follows.
    """
    settled = {recorded.step.id for recorded in steps if recorded.is_settled}
    awaited = _awaited_by_tools(steps)
    return [
        recorded
        for recorded in steps
        if recorded.status == RUNNING
        or (
            recorded.status == PENDING
            and (recorded.step.tool or recorded.step.id in awaited)
            and settled.issuperset(recorded.step.depends_on)
        )
    ]


def _awaited_by_tools(steps: Sequence[RecordedStep]) -> set[str]:
    by_id = {recorded.step.id: recorded.step for recorded in steps}
    awaited: set[str] = set()
    to_see = [name for recorded in steps if recorded.step.tool for name in recorded.step.depends_on]
    while to_see:
        name = to_see.pop()
        if name not in awaited and name in by_id:
            awaited.add(name)
            to_see += by_id[name].depends_on
    return awaited


class Wave:
    """The steps that are ready at one moment."""

    def __init__(
        self, context: RunContext, conversation: Sequence[Message], tools: ToolSet, record: PlanRecord, results: Results
    ) -> None:
        self._context = context
        self._conversation = conversation
        self._tools = tools
        self._record = record
        self._results = results
        self._calls: dict[str, ToolCall] = {}
        self._begun: set[str] = set()

    async def carry_out(self, *, may_begin: bool) -> None:
        """Runs the steps that are ready; without `may_begin` only those whose call is told already.

        Raises Interrupted and HandingOff: see tool_use.run_calls.
        """
        steps = [step for step in ready(self._record.steps) if may_begin or self._told_call(step) is not None]
        self._skip(steps)
        steps = [self._current(step) for step in steps if not self._current(step).is_settled]
        await _all(self._prepare(recorded) for recorded in steps)
        callers = [self._current(recorded) for recorded in steps if recorded.step.id in self._calls]
        if callers:
            calls = [self._calls[recorded.step.id] for recorded in callers]
            outcomes = await run_for_outcomes(self._context, calls, self._observed(callers))
            self._settle(dict(zip(callers, outcomes, strict=True)))

    def _skip(self, steps: Sequence[RecordedStep]) -> None:
        """A call that needs what did not come about is not made."""
        status = {recorded.step.id: recorded.status for recorded in self._record.steps}
        skipped: dict[RecordedStep, tuple[str, str]] = {}
        for recorded in steps:
            without = [name for name in recorded.step.depends_on if status[name] in (FAILED, SKIPPED)]
            if without and recorded.status == PENDING:
                skipped[recorded] = SKIPPED, f"It needs {', '.join(without)}."
        if skipped:
            self._context.flow.put([self._record.mark(skipped)])

    async def _prepare(self, recorded: RecordedStep) -> None:
        """Begins a step: a thought is thought here, a call gets its arguments."""
        told = self._told_call(recorded)
        if told is not None:
            self._calls[recorded.step.id] = told
            return
        context = self._context
        context.flow.put([self._started(recorded), *self._marked_running(recorded)])
        if recorded.step.tool is None:
            await self._think(recorded)
            return
        tool = self._tools.own.get(recorded.step.tool)
        answered = await self._arguments(recorded, tool.description) if tool is not None else None
        arguments = answered.value if answered is not None and answered.value is not None else {}
        call = ToolCall(
            id=f"{context.run_id}.{recorded.key}",
            name=recorded.step.tool,
            arguments_json=orjson.dumps(arguments).decode(),
        )
        self._calls[recorded.step.id] = call
        told_call = call_events(call, message_id="", step_id=self._step_id(recorded))
        context.flow.put([*(answered.ending if answered is not None else ()), *told_call])

    async def _arguments(self, recorded: RecordedStep, tool: ToolDescription) -> Answered | None:
        """None for a tool that takes none. A schema that the model server cannot enforce is only shown to the model."""
        schema = orjson.loads(tool.definition.parameters_json_schema or "{}")
        if not schema.get("properties"):
            return None
        step_id = f"{self._context.run_id}.{recorded.key}.arguments"

        def ask(tight: bool, schema: Mapping[str, Any] = schema) -> Awaitable[Answered]:
            known = self._known(recorded, tight)
            messages = prompts.arguments(self._conversation, tool.definition, recorded.step.task, known)
            return ask_json(
                self._context,
                step_id=step_id,
                step_name="tool selection",
                messages=messages,
                schema=schema,
                parent_step_id=self._step_id(recorded),
            )

        try:
            return await prompts.asked_in_room(ask)
        except DormouseError as error:
            if error.reason != error_pb2.ERROR_REASON_INVALID_ARGUMENT:
                raise
            return await prompts.asked_in_room(partial(ask, schema=_ANY_OBJECT))

    async def _think(self, recorded: RecordedStep) -> None:
        def ask(tight: bool) -> Awaitable[Answered]:
            return ask_json(
                self._context,
                step_id=f"{self._context.run_id}.{recorded.key}.thought",
                step_name="reasoning",
                messages=prompts.thought(self._conversation, recorded.step.task, self._known(recorded, tight)),
                schema=prompts.THOUGHT_SCHEMA,
                parent_step_id=self._step_id(recorded),
            )

        answered = await prompts.asked_in_room(ask)
        text = str((answered.value or {}).get("result") or "").strip()[:_THOUGHT_CHARACTERS]
        status = (DONE, text) if text else (FAILED, "The model brought no result.")
        self._context.flow.put([*answered.ending, self._record.mark({recorded: status}), self._finished(recorded)])

    def _known(self, recorded: RecordedStep, tight: bool) -> Sequence[tuple[RecordedStep, str]]:
        """What the step depends on, by way of others too, in the plan's order."""
        by_id = {other.step.id: other for other in self._record.steps}
        needed: set[str] = set()
        to_see = list(recorded.step.depends_on)
        while to_see:
            name = to_see.pop()
            if name not in needed:
                needed.add(name)
                to_see += by_id[name].step.depends_on
        steps = [other for name, other in by_id.items() if name in needed]
        return prompts.fitted(self._context, self._results.of(steps), tight=tight)

    def _observed(self, callers: Sequence[RecordedStep]) -> ToolSet:
        """The tools, each telling its step's end together with its result."""
        by_call = {self._calls[recorded.step.id]["id"]: recorded for recorded in callers}

        def ending(call_id: str, outcome: ToolOutcome) -> Sequence[Event]:
            recorded = by_call[call_id]
            self._begun.add(recorded.step.id)
            return self._end_of(recorded, outcome)

        own = {
            name: OwnTool(tool.description, _Observed(tool.toolbox, ending)) for name, tool in self._tools.own.items()
        }
        return ToolSet(own, self._tools.client, self._tools.is_complete)

    def _settle(self, outcomes: Mapping[RecordedStep, ToolOutcome]) -> None:
        """Tells the end of steps whose call no tool has answered: a repeated one, one too many, one of the log."""
        for recorded, outcome in outcomes.items():
            self._results[recorded] = outcome.content
            if recorded.step.id not in self._begun:
                self._context.flow.put(self._end_of(recorded, outcome))

    def _end_of(self, recorded: RecordedStep, outcome: ToolOutcome) -> list[Event]:
        status = FAILED if outcome.is_error else DONE
        return [self._record.mark({recorded: (status, short(outcome.content))}), self._finished(recorded)]

    def _marked_running(self, recorded: RecordedStep) -> list[Event]:
        return [self._record.mark({recorded: (RUNNING, "")})] if recorded.status != RUNNING else []

    def _current(self, recorded: RecordedStep) -> RecordedStep:
        return self._record.steps_of(recorded.round)[recorded.place]

    def _told_call(self, recorded: RecordedStep) -> ToolCall | None:
        known = self._context.recovery.tool_call(f"{self._context.run_id}.{recorded.key}")
        return None if known is None else known.call

    def _started(self, recorded: RecordedStep) -> StepStarted:
        return StepStarted(self._step_id(recorded), f"step {recorded.step.id}")

    def _finished(self, recorded: RecordedStep) -> StepFinished:
        return StepFinished(self._step_id(recorded), f"step {recorded.step.id}")

    def _step_id(self, recorded: RecordedStep) -> str:
        return f"{self._context.run_id}.{recorded.key}.step"


class _Observed:
    """A toolbox whose outcomes have more to tell."""

    def __init__(self, toolbox: Toolbox, ending: Callable[[str, ToolOutcome], Sequence[Event]]) -> None:
        self._toolbox = toolbox
        self._ending = ending

    @property
    def is_reachable(self) -> bool:
        """See Toolbox."""
        return self._toolbox.is_reachable

    async def describe(self) -> Sequence[ToolDescription]:
        """See Toolbox."""
        return await self._toolbox.describe()

    async def invoke(self, call: ToolCall, *, key: str, tell: Callable[[str], None]) -> ToolOutcome:
        """See Toolbox."""
        outcome = await self._toolbox.invoke(call, key=key, tell=tell)
        return replace(outcome, events=[*outcome.events, *self._ending(call["id"], outcome)])


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Does it side by side; the first failure ends the rest."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
