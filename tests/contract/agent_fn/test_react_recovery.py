"""A run with tools that is broken off goes on in another call, and runs no tool again whose result is known."""

import asyncio
import signal
from collections import Counter
from typing import Any

import pytest
from devstack.model_server.quoting import unquoted
from dormouse.agent.v1.agent_pb2 import RunLimits, ThreadRef
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest

from tests.contract.agent_fn.caller import Caller, Event, calling, kinds, only, recovery, text_of
from tests.contract.agent_fn.conftest import Tooled
from tests.contract.agent_fn.test_react import called, react, results_of
from tests.contract.agent_fn.tool_service import Invocation
from tests.stack import Fleet, Stack, Tenant

TWO_TURNS: list[dict[str, Any]] = [
    {**called("look", "send", text="a"), "results": 0, "times": 0},
    {**called("find"), "content": "One more.", "results": 2, "times": 0},
    {"content": "All is done now.", "results": 3, "times": 0},
]
# What the outbox may at most cut such a run into, and a few more that cut nothing.
CUTS = 16


async def broken_off(caller: Caller, asked: ExecuteRequest, responses: int) -> list[Event]:
    """What a call has said after so many responses; then its caller is gone."""
    seen: list[Event] = []
    call = caller.open(asked)
    try:
        for _ in range(responses):
            response = await call.read()
            if not hasattr(response, "events"):
                break
            seen += response.events
    finally:
        call.cancel()
    return seen


def ids(events: list[Event], kind: str, field: str) -> Counter[str]:
    return Counter(getattr(getattr(event, kind), field) for event in events if event.WhichOneof("event") == kind)


@pytest.mark.parametrize("responses", range(CUTS))
async def test_from_every_point_it_comes_to_the_same_end(tooled: Tooled, user_of_tools: Caller, responses: int) -> None:
    await tooled.says(*TWO_TURNS)
    asked = react(thread=ThreadRef(thread_id="thread_1"), run_id=f"run_{responses}")
    told = await broken_off(user_of_tools, asked, responses)
    known = set(results_of(told))
    before = Counter(call.key.partition(":")[2] for call in tooled.tools.calls)
    while told and told[-1].WhichOneof("event") == "run_finished":
        told.pop()
    asked.recovery.CopyFrom(recovery(told))
    rest = await user_of_tools.run(asked)
    log = told + rest[1:]
    assert kinds(log)[-1] == "run_finished"
    assert text_of(log) == "One more.All is done now."
    for kind in ("message_started", "message_finished"):
        assert ids(log, kind, "message_id") == {f"{asked.run_id}.m{number}": 1 for number in (1, 2, 3)}
    calls = {f"{asked.run_id}.{name}": 1 for name in ("m1.c1", "m1.c2", "m2.c1")}
    for kind in ("tool_call_started", "tool_call_finished", "tool_result"):
        assert ids(log, kind, "tool_call_id") == calls
    after = Counter(call.key.partition(":")[2] for call in tooled.tools.calls)
    assert all(after[call_id] == before[call_id] for call_id in known), "what is in the log is not run again"
    assert list(tooled.tools.effects.values()) == [1]
    messages = (await user_of_tools.state("thread_1")).messages
    assert [message.id.partition(".")[2] for message in messages] == [
        *("i0", "m1", "m1.c1.result", "m1.c2.result", "m2", "m2.c1.result", "m3")
    ]


async def test_a_log_that_is_whole_needs_no_model_and_no_tool(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(*TWO_TURNS)
    asked = react()
    whole = await user_of_tools.run(asked)
    tooled.tools.reset()
    await tooled.says()
    asked.recovery.CopyFrom(recovery(whole[:-1]))
    assert kinds(await user_of_tools.run(asked)) == ["run_finished"]
    assert (tooled.tools.calls, await tooled.asked()) == ([], [])


async def test_a_call_under_way_is_made_again_under_the_same_key(tooled: Tooled, user_of_tools: Caller) -> None:
    entered = asyncio.Event()

    async def wait(call: Invocation) -> str:
        entered.set()
        await asyncio.Event().wait()
        return ""

    async def answer(call: Invocation) -> str:
        return "at last"

    await tooled.says({**called("once"), "results": 0, "times": 0}, {"content": "Ok.", "results": 1, "times": 0})
    tooled.tools.add("once", wait, has_side_effects=True)
    asked = react(run_id="run_again")
    call = user_of_tools.open(asked)
    seen: list[Event] = []
    while "step_started" not in kinds(seen)[1:]:
        seen += (await call.read()).events
    await asyncio.wait_for(entered.wait(), 5)
    call.cancel()
    tooled.tools.add("once", answer, has_side_effects=True)
    asked.recovery.CopyFrom(recovery(seen))
    rest = await user_of_tools.run(asked)
    assert only(rest, "tool_result").content == "at last"
    assert [call.key for call in tooled.tools.calls] == ["run_again:run_again.m1.c1"] * 2
    del tooled.tools.tools["once"]


async def test_a_result_of_unknown_outcome_stays_one(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(called("look", "find"), {"content": "Ok."})
    asked = react()
    whole = await user_of_tools.run(asked)
    told = whole[: [event.WhichOneof("event") for event in whole].index("tool_result") + 1]
    result = told[-1].tool_result
    result.content, result.is_error, result.outcome_unknown = "Nobody knows.", True, True
    tooled.tools.reset()
    await tooled.says({"content": "Ok."})
    asked.recovery.CopyFrom(recovery(told))
    await user_of_tools.run(asked)
    assert len(tooled.tools.calls) == 1
    told_results = [
        unquoted(message["content"]) for message in (await tooled.asked())[0]["messages"] if message["role"] == "tool"
    ]
    assert "Nobody knows." in told_results


async def test_the_limits_hold_over_all_attempts(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(
        {**called("look", text="1"), "results": 0},
        {**called("look", text="2"), "results": 1},
        {"content": "Enough.", "results": 2},
    )
    asked = react(limits=RunLimits(iterations=2))
    told = await broken_off(user_of_tools, asked, 2)
    assert "tool_result" not in kinds(told)
    asked.recovery.CopyFrom(recovery(told))
    rest = await user_of_tools.run(asked)
    assert text_of(rest) == "Enough."
    assert "tools" not in (await tooled.asked())[-1]


class TestHandoff:
    async def test_a_run_whose_budget_ends_goes_on_between_its_calls(
        self, tooled: Tooled, user_of_tools: Caller
    ) -> None:
        slow = {"tool_calls": [{"name": "slow", "arguments": {"seconds": 0.15}}]}
        again = {"tool_calls": [{"name": "slow", "arguments": {"seconds": 0.15, "n": 2}}]}
        await tooled.says(slow, again, {"content": "Done."})
        asked = react(budget_ms=50)
        log: list[Event] = []
        ends: list[str] = []
        while not ends or ends[-1] == "handoff":
            events = await user_of_tools.run(asked)
            ends.append(kinds(events)[-1])
            log += events[:-1]
            asked.recovery.CopyFrom(recovery(log))
        assert ends.count("handoff") >= 2
        assert ends[-1] == "run_finished"
        assert len(tooled.tools.calls) == 2
        assert text_of(log) == "Done."


async def test_a_terminated_process_hands_off_what_its_tools_do_not_end(
    stack: Stack, fleet: Fleet, tenant: Tenant, tooled: Tooled
) -> None:
    environment = {"DORMOUSE_TOOL_TARGET": tooled.tools.address, "DORMOUSE_DRAIN_S": "0.6"}
    agent_fn = await fleet.agent_fn(tooled.model_server, env=environment)
    await tooled.says(called("hang", "look"), {"content": "Done."})
    asked = react()
    async with calling(stack, agent_fn, tenant, "tools") as caller, asyncio.TaskGroup() as group:
        running = group.create_task(caller.run(asked))
        await tooled.tools.wait_for(2)
        agent_fn.send(signal.SIGTERM)
        events = await running
    assert kinds(events)[-1] == "handoff"
    assert len(results_of(events)) == 1
    assert await agent_fn.process.wait() == 0


async def test_a_cancelled_run_takes_its_calls_with_it(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(called("hang"))
    call = user_of_tools.open(react())
    await call.read()
    await tooled.tools.wait_for(1)
    call.cancel()
    async with asyncio.timeout(1):
        while not tooled.tools.cancelled:
            await asyncio.sleep(0.01)
