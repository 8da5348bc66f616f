"""The plan-execute agent on a real model server and a real ToolService: plans, verdicts, and deaths in between."""

import time
from collections import Counter
from typing import Any

import jsonpatch
import orjson
import pytest
from dormouse.agent.v1.agent_pb2 import ThreadRef
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest

from tests.contract.agent_fn.caller import Caller, Event, kinds, only, recovery, request, text_of
from tests.contract.agent_fn.conftest import Tooled
from tests.contract.agent_fn.test_react_recovery import broken_off, ids

PLAN = {
    "steps": [
        {"id": "a", "task": "look for the first", "tool": "look", "depends_on": []},
        {"id": "b", "task": "send word", "tool": "send", "depends_on": []},
        {"id": "c", "task": "find the rest", "tool": "find", "depends_on": ["a"]},
    ]
}


def said(phase: str, value: Any, **fields: Any) -> dict[str, Any]:
    """A line for every question of a phase."""
    return {"content": orjson.dumps(value).decode(), "contains": phase, "formatted": True, "times": 0, **fields}


SCRIPT = [
    said("You plan how", PLAN),
    said("look for the first", {"text": "here"}),
    said("send word", {"text": "a word"}),
    said("find the rest", {"text": "the rest"}),
    said("Sum up", {"findings": "Everything is there."}),
    said("Check whether", {"complete": True, "missing": [], "reason": "Nothing is missing."}),
    {"content": "It is all there, every word of it.", "formatted": False, "times": 0},
]
# A question's lines are tried in order, and the request itself is in every question: it must not be like a task.
QUESTION = "Is it all there?"
CUTS = range(1, 26, 2)


def planned(**fields: Any) -> ExecuteRequest:
    return request(QUESTION, **{"agent_id": "plan-execute", **fields})


def state_of(events: list[Event]) -> Any:
    state: Any = {}
    for event in events:
        if event.HasField("state_delta"):
            state = jsonpatch.apply_patch(state, orjson.loads(event.state_delta.patch_json))
    return state


def finished_steps(events: list[Event]) -> dict[str, str]:
    return {step["id"]: step["status"] for planned in state_of(events)["plan"]["rounds"] for step in planned["steps"]}


async def test_it_plans_runs_the_steps_and_answers(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(*SCRIPT)
    events = await user_of_tools.run(planned(thread=ThreadRef(thread_id="thread_1")))
    assert text_of(events) == "It is all there, every word of it."
    assert finished_steps(events) == {"s1": "done", "s2": "done", "s3": "done"}
    assert [(call.name, call.key) for call in sorted(tooled.tools.calls, key=lambda call: call.key)] == [
        ("look", "run_1:run_1.p1.s1"),
        ("send", "run_1:run_1.p1.s2"),
        ("find", "run_1:run_1.p1.s3"),
    ]
    state = await user_of_tools.state("thread_1")
    assert [message.id for message in state.messages] == ["run_1.i0", "run_1.m1"], "the thread holds the answer only"
    used = [event.usage_reported for event in events if event.HasField("usage_reported")]
    assert len(used) == len(await tooled.asked()), "hidden questions cost tokens, too"


@pytest.mark.parametrize("responses", CUTS)
async def test_from_every_point_it_comes_to_the_same_end(tooled: Tooled, user_of_tools: Caller, responses: int) -> None:
    await tooled.says(*SCRIPT)
    asked = planned(run_id=f"run_{responses}")
    told = await broken_off(user_of_tools, asked, responses)
    while told and told[-1].WhichOneof("event") == "run_finished":
        told.pop()
    known = {event.tool_result.tool_call_id for event in told if event.HasField("tool_result")}
    before = Counter(call.key.partition(":")[2] for call in tooled.tools.calls)
    asked.recovery.CopyFrom(recovery(told))
    log = told + await user_of_tools.run(asked)
    assert kinds(log)[-1] == "run_finished"
    assert text_of(log) == "It is all there, every word of it."
    assert finished_steps(log) == {"s1": "done", "s2": "done", "s3": "done"}
    calls = {f"{asked.run_id}.p1.s{number}": 1 for number in (1, 2, 3)}
    for kind in ("tool_call_started", "tool_call_finished", "tool_result"):
        assert ids(log, kind, "tool_call_id") == calls
    after = Counter(call.key.partition(":")[2] for call in tooled.tools.calls)
    assert all(after[call_id] == before[call_id] for call_id in known), "what is in the log is not run again"
    assert list(tooled.tools.effects.values()) == [1]


async def test_a_run_is_handed_off_between_its_steps_and_goes_on(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(*SCRIPT)
    for agent in ("plan-execute", "auto"):
        log: list[Event] = []
        asked = planned(agent_id=agent, run_id=f"run_{agent}", budget_ms=1)
        for _ in range(30):
            log += await user_of_tools.run(asked)
            if log[-1].WhichOneof("event") == "run_finished":
                break
            assert log.pop().WhichOneof("event") == "handoff"
            asked.recovery.CopyFrom(recovery(log))
        assert text_of(log) == "It is all there, every word of it."
        assert asked.recovery.attempt, f"{agent} was handed off"


async def test_independent_steps_of_a_second_take_little_more_than_one(tooled: Tooled, user_of_tools: Caller) -> None:
    steps = [{"id": name, "task": f"wait for {name}", "tool": "slow"} for name in ("x", "y")]
    lines = [said("You plan how", {"steps": steps})]
    lines += [said(f"wait for {name}", {"text": name}) for name in ("x", "y")]
    await tooled.says(*lines, *SCRIPT[4:])
    started = time.monotonic()
    events = await user_of_tools.run(planned())
    assert time.monotonic() - started < 1.9, "two of a second each, one after the other, would take two"
    assert finished_steps(events) == {"s1": "done", "s2": "done"}


async def test_a_model_without_tools_carries_out_plans_too(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(*SCRIPT)
    events = await user_of_tools.run(planned(model="dormouse-dev-notools"))
    assert finished_steps(events) == {"s1": "done", "s2": "done", "s3": "done"}
    assert all("tools" not in body or not body["tools"] for body in await tooled.asked())


async def test_the_development_model_plans_and_answers_from_what_was_found(
    tooled: Tooled, user_of_tools: Caller
) -> None:
    asked = request("Read the thermometer, then send what it says.", agent_id="plan-execute")
    events = await user_of_tools.run(asked)
    assert tooled.tools.names() == ["thermometer", "send"]
    assert finished_steps(events) == {"s1": "done", "s2": "done"}
    for result in ("thermometer says", "send says"):
        assert result in text_of(events)
    assert only(events, "run_finished")
