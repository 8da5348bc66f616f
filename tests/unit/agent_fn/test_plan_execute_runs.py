"""Runs of plan-execute, with a model that follows a script: what they tell, and that they survive being killed."""

import asyncio
from typing import Any

import orjson
import pytest
from agent_fn.conversation import text_of
from agent_fn.events import FinishReason, RunFinished, RunInterrupted, StepStarted, ToolCallStarted, ToolResult
from agent_fn.models.port import ModelCall
from agent_fn.tools.port import ToolOutcome
from dormouse.agent.v1.agent_pb2 import RunLimits, ToolSelection
from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError

from agent_fn import errors
from tests.unit.agent_fn.stage import (
    Log,
    Said,
    ScriptedTools,
    Stage,
    check_every_prefix,
    everything,
    schema_of,
)

QUESTION = "How many people live in France and Spain together?"
PLAN = {
    "steps": [
        {"id": "a", "task": "population of France", "tool": "lookup", "depends_on": []},
        {"id": "b", "task": "population of Spain", "tool": "lookup", "depends_on": []},
        {"id": "c", "task": "add both", "tool": "math", "depends_on": ["a", "b"]},
    ]
}
SECOND_PLAN = {"steps": [{"id": "1", "task": "note the sum", "tool": "note", "depends_on": []}]}
# Longer than what the state shows of a result.
SUM = f"{'Step by step. ' * 20}68 + 48 = 116"
FACTS = {"population of France": "France has 68 million people.", "population of Spain": "Spain has 48 million people."}


def system_of(call: ModelCall) -> str:
    return text_of(call.messages[0])


def task_of(call: ModelCall) -> str:
    return text_of(call.messages[-1]).split("\n")[0]


def script(call: ModelCall) -> Said:
    """Two rounds: the first misses something."""
    asked = schema_of(call)
    if "steps" in asked:
        return Said.data(SECOND_PLAN if "still missing" in system_of(call) else PLAN)
    if "of" in asked:
        return Said.data({"of": task_of(call)})
    if "findings" in asked:
        return Said.data({"findings": f"Known: {'116' if '116' in system_of(call) else 'less'}."})
    if "complete" in asked:
        done = "noted" in system_of(call)
        return Said.data({"complete": done, "missing": [] if done else ["a note"], "reason": "That is so."})
    return Said("Together 116 million people live there.")


def tools(**fields: Any) -> ScriptedTools:
    return ScriptedTools(
        {
            "lookup": lambda arguments: FACTS[arguments["of"]],
            "math": lambda arguments: SUM,
            "note": lambda arguments: "It is noted.",
        },
        with_side_effects=frozenset({"note"}),
        **fields,
    )


def stage() -> Stage:
    return Stage(script, tools())


def statuses(log: Log, number: int = 0) -> dict[str, str]:
    return {step["id"]: step["status"] for step in log.state["plan"]["rounds"][number]["steps"]}


async def test_a_run_plans_runs_tools_checks_and_answers() -> None:
    log = Log(await stage().run("plan-execute", QUESTION))
    assert log.end == RunFinished(FinishReason.STOP)
    assert log.messages["run_1.m1"].text == "Together 116 million people live there."
    assert list(log.messages) == ["run_1.m1"], "plans and verdicts are nobody's to read"
    first, second = log.state["plan"]["rounds"]
    assert first == {
        "steps": [
            {
                "id": "s1",
                "task": "population of France",
                "tool": "lookup",
                "depends_on": [],
                "status": "done",
                "result": "France has 68 million people.",
            },
            {
                "id": "s2",
                "task": "population of Spain",
                "tool": "lookup",
                "depends_on": [],
                "status": "done",
                "result": "Spain has 48 million people.",
            },
            {
                "id": "s3",
                "task": "add both",
                "tool": "math",
                "depends_on": ["s1", "s2"],
                "status": "done",
                "result": f"{SUM[:199]}…",
            },
        ],
        "findings": "Known: 116.",
        "verification": {"complete": False, "missing": ["a note"], "reason": "That is so."},
    }
    assert second["verification"]["complete"] is True
    assert list(log.calls) == ["run_1.p1.s1", "run_1.p1.s2", "run_1.p1.s3", "run_1.p2.s1"]


async def test_every_phase_and_every_step_is_told_as_a_step() -> None:
    puts = await stage().run("plan-execute", QUESTION)
    started = [event.name for event in everything(puts) if isinstance(event, StepStarted)]
    first_round, rest = started[:9], started[9:]
    assert first_round[0] == "planning"
    assert sorted(first_round[1:]) == [
        *("reasoning", "step s1", "step s2", "step s3"),
        *("tool selection", "tool selection", "tool selection", "verification"),
    ]
    assert rest == ["planning", "step s1", "tool selection", "reasoning", "verification", "model"]
    assert Log(puts).outcome()["open_steps"] == []


async def test_a_run_that_is_killed_anywhere_goes_on_to_the_same_end() -> None:
    log, kills = await check_every_prefix(stage, "plan-execute", QUESTION)
    assert kills > 25
    assert len(log.calls) == 4


async def test_a_run_that_is_killed_again_and_again_comes_to_the_same_end() -> None:
    wanted = Log(await stage().run("plan-execute", QUESTION)).outcome()
    for most in (5, 6, 7, 9, 12):
        log, acting = Log(), stage()
        for _ in range(60):
            for events in (await acting.run("plan-execute", QUESTION, log=log))[:most]:
                log.add(events)
            if log.end is not None:
                break
        assert log.outcome() == wanted
        assert acting.tools.effects == ["run_1:run_1.p2.s1"]


async def test_steps_that_need_nothing_from_each_other_run_at_the_same_time() -> None:
    together = asyncio.Barrier(2)
    acting = stage()
    invoke = acting.tools.invoke

    class Meeting(ScriptedTools):
        async def invoke(self, call: Any, **fields: Any) -> ToolOutcome:
            if call["name"] == "lookup":
                async with asyncio.timeout(5):
                    await together.wait()
            return await invoke(call, **fields)

    meeting = Meeting(acting.tools.answers, acting.tools.with_side_effects)
    log = Log(await Stage(script, meeting).run("plan-execute", QUESTION))
    assert statuses(log) == {"s1": "done", "s2": "done", "s3": "done"}


async def test_the_arguments_of_a_step_are_chosen_with_what_it_depends_on() -> None:
    acting = stage()
    await acting.run("plan-execute", QUESTION)
    asked = [call for call in acting.model.calls if "of" in schema_of(call)]
    texts = {task_of(call): text_of(call.messages[-1]) for call in asked}
    assert "68 million" in texts["add both"]
    assert "48 million" in texts["add both"]
    assert "million" not in texts["population of France"]


async def test_the_answer_is_asked_for_with_everything_that_was_found() -> None:
    acting = stage()
    await acting.run("plan-execute", QUESTION)
    asked = acting.model.calls[-1]
    assert text_of(asked.messages[-1]) == QUESTION
    for known in ("68 + 48 = 116", "48 million", "It is noted.", "Known: 116."):
        assert known in system_of(asked)


async def test_a_plan_without_tools_just_answers() -> None:
    def thinking(call: ModelCall) -> Said:
        if "steps" in schema_of(call):
            return Said.data({"steps": [{"id": "1", "task": "Think.", "tool": None, "depends_on": []}]})
        assert not schema_of(call), "nothing else is asked"
        return Said("Because.")

    acting = Stage(thinking, tools())
    log = Log(await acting.run("plan-execute", "Why?"))
    assert (log.messages["run_1.m1"].text, len(acting.model.calls)) == ("Because.", 2)
    assert statuses(log) == {"s1": "done"}
    assert [text_of(message) for message in acting.model.calls[-1].messages] == ["Why?"]
    await check_every_prefix(lambda: Stage(thinking, tools()), "plan-execute", "Why?")


@pytest.mark.parametrize("without", ["no_tools", "none_selected", "unreachable"])
async def test_without_tools_nothing_is_planned(without: str) -> None:
    acting = Stage(lambda call: Said("I say."), tools(is_reachable=without != "unreachable"))
    if without == "no_tools":
        acting = Stage(lambda call: Said("I say."), ScriptedTools({}))
    fields: dict[str, Any] = {"tools": ToolSelection()} if without == "none_selected" else {}
    log = Log(await acting.run("plan-execute", QUESTION, **fields))
    assert (log.messages["run_1.m1"].text, len(acting.model.calls), log.state) == ("I say.", 1, {})
    assert ("cannot be reached" in system_of(acting.model.calls[0])) == (without == "unreachable")


async def test_a_tool_that_fails_is_told_to_the_next_round_and_ends_nothing() -> None:
    def failing(call: ModelCall) -> Said:
        asked = schema_of(call)
        if "steps" in asked and "still missing" in system_of(call):
            assert "There is no connection" in system_of(call)
            return Said.data({"steps": [{"id": "1", "task": "population of Spain", "tool": "lookup"}]})
        if "complete" in asked:
            done = "48 million" in system_of(call)
            return Said.data({"complete": done, "missing": ["Spain"], "reason": ""})
        return script(call)

    def broken() -> Stage:
        acting = tools()
        lookup = acting.answers["lookup"]

        def once(arguments: dict[str, Any]) -> str | ToolOutcome:
            if "Spain" in arguments["of"] and not any(".p2." in key for key, _ in acting.invoked):
                return ToolOutcome("There is no connection.", is_error=True)
            return lookup(arguments)

        acting.answers = {**acting.answers, "lookup": once}
        return Stage(failing, acting)

    log, _ = await check_every_prefix(broken, "plan-execute", QUESTION)
    assert log.end == RunFinished(FinishReason.STOP)
    assert statuses(log) == {"s1": "done", "s2": "failed", "s3": "skipped"}
    assert log.state["plan"]["rounds"][0]["steps"][2]["result"] == "It needs s2."
    assert statuses(log, 1) == {"s1": "done"}


async def test_a_verdict_that_is_never_content_ends_after_three_rounds() -> None:
    def discontent(call: ModelCall) -> Said:
        asked = schema_of(call)
        if "complete" in asked:
            return Said.data({"complete": False, "missing": ["more"], "reason": "Never enough."})
        if "steps" in asked:
            task = "add both" if "population of France" in system_of(call) else "population of France"
            return Said.data({"steps": [{"id": "1", "task": task, "tool": "math" if "add" in task else "lookup"}]})
        return script(call)

    log = Log(await Stage(discontent, tools()).run("plan-execute", QUESTION))
    assert len(log.state["plan"]["rounds"]) == 3
    assert log.end == RunFinished(FinishReason.STOP)


@pytest.mark.parametrize("written", ["no JSON at all", "[1, 2]", '{"steps": "all of them"}'])
async def test_a_plan_that_is_none_becomes_one_step(written: str) -> None:
    def babbling(call: ModelCall) -> Said:
        return Said(written) if "steps" in schema_of(call) else Said("I answer anyway.")

    log = Log(await Stage(babbling, tools()).run("plan-execute", QUESTION))
    assert log.messages["run_1.m1"].text == "I answer anyway."
    assert log.state["plan"]["rounds"][0]["steps"] == [
        {"id": "s1", "task": QUESTION, "tool": None, "depends_on": [], "status": "done", "result": ""}
    ]


async def test_a_plan_with_an_unknown_tool_is_asked_for_once_more() -> None:
    def corrected(call: ModelCall) -> Said:
        if "steps" in schema_of(call) and "telepathy" not in system_of(call) and "still missing" not in system_of(call):
            return Said.data({"steps": [{"id": "1", "task": "read minds", "tool": "telepathy"}]})
        return script(call)

    log, _ = await check_every_prefix(lambda: Stage(corrected, tools()), "plan-execute", QUESTION)
    assert statuses(log) == {"s1": "done", "s2": "done", "s3": "done"}
    assert {"run_1.p1.plan", "run_1.p1.plan.again"} <= set(log.steps)


async def test_findings_and_verdicts_that_cannot_be_read_stop_nobody() -> None:
    def mumbling(call: ModelCall) -> Said:
        return Said("hm") if {"findings", "complete"} & set(schema_of(call)) else script(call)

    log = Log(await Stage(mumbling, tools()).run("plan-execute", QUESTION))
    (only,) = log.state["plan"]["rounds"]
    assert "add both: Step by step." in only["findings"]
    assert only["verification"] == {"complete": True, "missing": [], "reason": "It could not be checked."}


@pytest.mark.parametrize(
    ("limits", "calls", "turns"),
    [
        (RunLimits(iterations=1), 0, 1),
        (RunLimits(iterations=3), 2, 4),
        (RunLimits(tool_calls=1), 1, 4),
        (RunLimits(tool_calls=3), 3, 5),
        (RunLimits(tokens=1), 0, 2),
    ],
    ids=lambda value: str(value).strip().replace("\n", " "),
)
async def test_limits_hold_and_the_run_answers_with_what_it_has(limits: RunLimits, calls: int, turns: int) -> None:
    acting = stage()
    log = Log(await acting.run("plan-execute", QUESTION, limits=limits))
    assert log.end == RunFinished(FinishReason.STOP)
    assert log.messages["run_1.m1"].finished
    assert (len(acting.tools.invoked), len(acting.model.calls)) == (calls, turns)
    assert {
        status
        for number in range(len(log.state.get("plan", {}).get("rounds", [])))
        for status in statuses(log, number).values()
    } <= {"done", "failed", "skipped"}


@pytest.mark.parametrize(
    ("answer", "result", "status"),
    [
        ({"action": "approve"}, "It is noted.", "done"),
        ({"action": "edit", "arguments": {"of": "other"}}, "A person has changed", "done"),
        ({"action": "reject", "reason": "Not now."}, "Not now.", "failed"),
    ],
    ids=lambda value: value["action"] if isinstance(value, dict) else "",
)
async def test_a_step_waits_for_a_person_and_goes_on_with_the_answer(
    answer: dict[str, Any], result: str, status: str
) -> None:
    acting = Stage(script, tools(to_approve=frozenset({"note"})))
    log = Log(await acting.run("plan-execute", QUESTION, can_interrupt=True))
    assert isinstance(log.end, RunInterrupted)
    (asked,) = log.end.interrupts
    assert (asked.id, asked.tool_call_id) == ("run_1.p2.s1.approval", "run_1.p2.s1")
    assert orjson.loads(asked.details_json) == {"tool": "note", "arguments": {"of": "note the sum"}}
    assert statuses(log, 1) == {"s1": "running"}
    log = log.answered(asked.id, answer)
    for events in await acting.run("plan-execute", QUESTION, log=log, can_interrupt=True):
        log.add(events)
    assert log.end == RunFinished(FinishReason.STOP)
    called = log.calls["run_1.p2.s1"].result
    assert called is not None
    assert result in called.content
    assert statuses(log, 1) == {"s1": status}


@pytest.mark.parametrize("agent", ["plan-execute", "auto"])
async def test_a_run_that_waits_for_people_may_be_killed_anywhere_too(agent: str) -> None:
    text = "First lookup the population of France, then use the result to note it."
    log, _ = await check_every_prefix(
        lambda: Stage(script, tools(to_approve=frozenset({"note", "math"}))),
        agent,
        text,
        answer={"action": "approve"},
        can_interrupt=True,
    )
    assert log.end == RunFinished(FinishReason.STOP)
    assert {answer.interrupt_id for answer in log.answers} == {"run_1.p1.s3.approval", "run_1.p2.s1.approval"}
    assert statuses(log, 1) == {"s1": "done"}


async def test_a_thought_that_a_tool_waits_for_is_thought_before_it() -> None:
    def thinking(call: ModelCall) -> Said:
        asked = schema_of(call)
        if "steps" in asked:
            return Said.data(
                {
                    "steps": [
                        {"id": "a", "task": "population of France", "tool": "lookup"},
                        {"id": "b", "task": "round it", "tool": None, "depends_on": ["a"]},
                        {"id": "c", "task": "double it", "tool": "math", "depends_on": ["b"]},
                        {"id": "d", "task": "judge it", "tool": None, "depends_on": ["c"]},
                    ]
                }
            )
        if "result" in asked:
            assert "68 million" in text_of(call.messages[-1])
            return Said.data({"result": "About 70 million."})
        if "of" in asked and task_of(call) == "double it":
            assert "About 70 million." in text_of(call.messages[-1])
        if "complete" in asked:
            return Said.data({"complete": True, "missing": [], "reason": ""})
        return script(call)

    log, _ = await check_every_prefix(lambda: Stage(thinking, tools()), "plan-execute", QUESTION)
    (only,) = log.state["plan"]["rounds"]
    assert [(step["status"], step["result"]) for step in only["steps"]] == [
        ("done", "France has 68 million people."),
        ("done", "About 70 million."),
        ("done", f"{SUM[:199]}…"),
        ("done", ""),
    ]


async def test_a_call_that_was_made_before_is_not_made_again() -> None:
    def repeating(call: ModelCall) -> Said:
        asked = schema_of(call)
        if "steps" in asked:
            again = {"id": "2", "task": "the same", "tool": "note", "depends_on": ["1"]}
            return Said.data({"steps": [{"id": "1", "task": "once", "tool": "note"}, again]})
        if "of" in asked:
            return Said.data({"of": "it"})
        if "complete" in asked:
            return Said.data({"complete": True, "missing": [], "reason": ""})
        return script(call)

    log, _ = await check_every_prefix(lambda: Stage(repeating, tools()), "plan-execute", QUESTION)
    repeated = log.calls["run_1.p1.s2"].result
    assert repeated is not None
    assert "you have made before" in repeated.content


async def test_two_steps_that_ask_for_the_very_same_have_one_effect() -> None:
    def doubling(call: ModelCall) -> Said:
        asked = schema_of(call)
        if "steps" in asked:
            return Said.data({"steps": [{"task": "once", "tool": "note"}, {"task": "once more", "tool": "note"}]})
        if "of" in asked:
            return Said.data({"of": "it"})
        if "complete" in asked:
            return Said.data({"complete": True, "missing": [], "reason": ""})
        return script(call)

    acting = Stage(doubling, tools())
    await acting.run("plan-execute", QUESTION)
    assert acting.tools.effects == ["run_1:run_1.p1.s1"]
    log, _ = await check_every_prefix(lambda: Stage(doubling, tools()), "plan-execute", QUESTION)
    assert statuses(log) == {"s1": "done", "s2": "done"}


async def test_results_are_cut_where_a_model_server_reads_less() -> None:
    def crowded(call: ModelCall) -> Said:
        if sum(len(text_of(message)) for message in call.messages) > 4000:
            raise errors.context_length_exceeded("scripted")
        return script(call)

    acting = tools()
    acting.answers = {**acting.answers, "lookup": lambda arguments: FACTS[arguments["of"]] + " More." * 2000}
    log = Log(await Stage(crowded, acting).run("plan-execute", QUESTION))
    assert log.messages["run_1.m1"].text == "Together 116 million people live there."


async def test_the_others_of_a_wave_run_before_a_person_is_asked() -> None:
    def one_wave(call: ModelCall) -> Said:
        if "steps" in schema_of(call):
            return Said.data({"steps": [{"task": "note it", "tool": "note"}, {"task": "add up", "tool": "math"}]})
        return script(call)

    log = Log(
        await Stage(one_wave, tools(to_approve=frozenset({"note"}))).run("plan-execute", QUESTION, can_interrupt=True)
    )
    assert isinstance(log.end, RunInterrupted)
    assert statuses(log) == {"s1": "running", "s2": "done"}


async def test_where_nobody_can_be_asked_a_step_fails_and_the_run_goes_on() -> None:
    log = Log(await Stage(script, tools(to_approve=frozenset({"note"}))).run("plan-execute", QUESTION))
    assert log.end == RunFinished(FinishReason.STOP)
    assert statuses(log, 1) == {"s1": "failed"}


async def test_a_model_that_fails_ends_the_attempt_and_the_next_one_goes_on() -> None:
    acting = stage()
    original = acting.model.answer

    def failing(call: ModelCall) -> Any:
        if "findings" in schema_of(call):
            raise DormouseError(error_pb2.ERROR_REASON_MODEL_UNAVAILABLE, "It is away.")
        return original(call)

    acting.model.answer = failing  # type: ignore[method-assign]
    with pytest.raises(DormouseError):
        await acting.run("plan-execute", QUESTION)
    assert len(acting.tools.invoked) == 3


async def test_a_tools_result_is_told_together_with_its_steps_end() -> None:
    puts = await stage().run("plan-execute", QUESTION)
    for events in puts:
        if any(isinstance(event, ToolResult) for event in events):
            assert [type(event).__name__ for event in events] == ["ToolResult", "StateDelta", "StepFinished"]
    called = [event for event in everything(puts) if isinstance(event, ToolCallStarted)]
    assert {event.message_id for event in called} == {""}, "a plan asks for them, no message"
