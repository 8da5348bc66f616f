"""The calls of one turn: what runs, what is told, and how it ends."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import orjson
import pytest
from agent_fn.agents.context import Progress, RecoveredToolCall, Recovery, RunContext
from agent_fn.agents.endings import HandingOff, Interrupted
from agent_fn.agents.tool_set import gather_tools
from agent_fn.agents.tool_use import run_calls
from agent_fn.conversation import Message, ToolCall, text_of
from agent_fn.events import Event, StepFinished, StepStarted, ToolResult
from agent_fn.generation import GenerationOptions, ToolDefinition
from agent_fn.limits import RunLimits
from agent_fn.models.port import Model, ModelDescription
from agent_fn.tools.port import ToolDescription, ToolOutcome

STEP = StepStarted("run_1.m1.tools", "tools")


class Log:
    """A flow that keeps what it is told, put by put."""

    congested = False

    def __init__(self) -> None:
        self.puts: list[list[Event]] = []

    def put(self, events: Sequence[Event]) -> None:
        self.puts.append(list(events))

    async def clear(self) -> None:
        """There is always room."""

    @property
    def events(self) -> list[Event]:
        return [event for put in self.puts for event in put]


class Box:
    """Tools that a test can hold up and let go."""

    is_reachable = True

    def __init__(self, outcome: ToolOutcome | None = None) -> None:
        self.outcome = outcome
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.invoked: list[tuple[str, Any]] = []
        self.arrived = asyncio.Semaphore(0)
        self.at_once = self.most_at_once = 0

    async def describe(self) -> Sequence[ToolDescription]:
        plain = ToolDescription(ToolDefinition("look", "Looks.", ""))
        changing = ToolDescription(ToolDefinition("send", "Sends.", ""), has_side_effects=True)
        guarded = ToolDescription(ToolDefinition("pay", "Pays.", ""), has_side_effects=True, needs_approval=True)
        return [plain, changing, guarded] if self.is_reachable else []

    async def invoke(self, call: ToolCall, *, key: str, tell: Callable[[str], None]) -> ToolOutcome:
        self.invoked.append((key, orjson.loads(call["arguments_json"])))
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        self.arrived.release()
        await asyncio.sleep(0)
        await self.let_go.wait()
        self.at_once -= 1
        return self.outcome or ToolOutcome(f"{call['name']} {call['arguments_json']}")


def call(number: int, name: str = "look", **arguments: Any) -> ToolCall:
    return ToolCall(
        id=f"run_1.m1.c{number}", name=name, arguments_json=orjson.dumps(arguments or {"n": number}).decode()
    )


def context(box: Box, **fields: Any) -> tuple[RunContext, Log]:
    log = Log()
    run = RunContext(
        run_id="run_1",
        model=ModelDescription("m", frozenset()),
        models=cast("Model", None),
        options=GenerationOptions(),
        client_tools=(),
        **{"recovery": Recovery(), "progress": Progress(), **fields},
        flow=log,
        toolbox=box,
    )
    return run, log


async def use(run: RunContext, *calls: ToolCall) -> list[Message]:
    return await run_calls(run, calls, await gather_tools(run), step=STEP)


async def test_the_step_ends_with_the_last_result_in_one_piece() -> None:
    run, log = context(Box())
    messages = await use(run, call(1), call(2))
    assert [text_of(message) for message in messages] == ['look {"n":1}', 'look {"n":2}']
    assert log.puts[0] == [STEP]
    assert [type(event) for event in log.puts[-1]] == [ToolResult, StepFinished]


async def test_no_more_than_eight_run_at_once() -> None:
    box = Box()
    run, _ = context(box)
    await use(run, *(call(number) for number in range(20)))
    assert (len(box.invoked), box.most_at_once) == (20, 8)


async def test_when_time_is_up_those_under_way_end_and_no_other_begins() -> None:
    box = Box()
    box.let_go.clear()
    run, log = context(box)
    using = asyncio.create_task(use(run, *(call(number) for number in range(12))))
    for _ in range(8):
        await box.arrived.acquire()
    run.progress.ending = True
    box.let_go.set()
    with pytest.raises(HandingOff):
        await using
    assert len([event for event in log.events if isinstance(event, ToolResult)]) == 8
    assert not [event for event in log.events if isinstance(event, StepFinished)]


async def test_a_defect_of_a_toolbox_ends_the_run_as_what_it_is() -> None:
    class Broken(Box):
        async def invoke(self, call: ToolCall, *, key: str, tell: Callable[[str], None]) -> ToolOutcome:
            raise ZeroDivisionError

    run, _ = context(Broken())
    with pytest.raises(ZeroDivisionError):
        await use(run, call(1), call(2))


async def test_cancelling_the_turn_cancels_its_calls() -> None:
    box = Box()
    box.let_go.clear()
    run, log = context(box)
    using = asyncio.create_task(use(run, call(1)))
    await box.arrived.acquire()
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert log.puts == [[STEP]]


async def test_known_results_need_no_tool_and_no_step() -> None:
    box = Box()
    known = [RecoveredToolCall(call(number), f"known {number}", False) for number in (1, 2)]
    run, log = context(box, recovery=Recovery(tool_calls=known))
    messages = await use(run, call(1), call(2))
    assert [text_of(message) for message in messages] == ["known 1", "known 2"]
    assert (box.invoked, log.puts) == ([], [])
    assert run.history.count == 2
    assert not run.progress.begun


@pytest.mark.parametrize(
    ("name", "earlier", "unknown"),
    [("send", True, True), ("send", False, False), ("look", True, False)],
    ids=["may have begun", "first attempt", "read only"],
)
async def test_a_tool_that_is_gone_leaves_an_unknown_outcome_only_where_it_may_have_done_something(
    name: str, earlier: bool, unknown: bool
) -> None:
    known = [RecoveredToolCall(call(1, name), None, False)] if earlier else []
    gone = ToolOutcome("It is away. It was not run.", is_error=True, is_answered=False)
    run, log = context(Box(gone), recovery=Recovery(tool_calls=known))
    await use(run, call(1, name))
    [result] = [event for event in log.events if isinstance(event, ToolResult)]
    assert result.outcome_unknown is unknown
    assert ("Nobody knows" in result.content) is unknown


@pytest.mark.parametrize("earlier", [False, True])
async def test_tools_that_cannot_be_listed_are_not_called_unknown_ones(earlier: bool) -> None:
    box = Box()
    box.is_reachable = False
    known = [RecoveredToolCall(call(1), None, False)] if earlier else []
    run, log = context(box, recovery=Recovery(tool_calls=known))
    await use(run, call(1))
    [result] = [event for event in log.events if isinstance(event, ToolResult)]
    assert ("Nobody knows" if earlier else "cannot be reached") in result.content


async def test_questions_are_asked_after_the_other_calls_have_ended() -> None:
    run, log = context(Box(), can_interrupt=True)
    with pytest.raises(Interrupted) as interrupted:
        await use(run, call(1, "pay"), call(2), call(3, "pay"))
    assert [interrupt.tool_call_id for interrupt in interrupted.value.interrupts] == ["run_1.m1.c1", "run_1.m1.c3"]
    assert [event.tool_call_id for event in log.events if isinstance(event, ToolResult)] == ["run_1.m1.c2"]


async def test_calls_beyond_the_limit_are_refused() -> None:
    box = Box()
    run, _ = context(box, limits=RunLimits(tool_calls=2))
    messages = await use(run, call(1), call(2), call(3))
    assert len(box.invoked) == 2
    assert "2 tool calls" in text_of(messages[2])


async def test_long_results_share_the_room() -> None:
    run, log = context(Box(ToolOutcome("x" * 100_000)))
    messages = await use(run, *(call(number) for number in range(4)))
    assert all(len(text_of(message)) < 5000 for message in messages)
    assert all(len(event.content) < 5000 for event in log.events if isinstance(event, ToolResult))
