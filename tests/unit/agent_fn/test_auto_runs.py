"""Runs of auto: who answers, why, and that a run that is killed keeps to its choice."""

from typing import Any

import pytest
from agent_fn.conversation import text_of
from agent_fn.events import FinishReason, RunFinished, StateDelta, StepFinished, StepStarted
from agent_fn.models.port import ModelCall
from dormouse.agent.v1.message_pb2 import ClientTool

from agent_fn import errors
from tests.unit.agent_fn.stage import Log, Said, ScriptedTools, Stage, check_every_prefix, everything, schema_of

CHAT = "Write me a short poem about a dormouse."
REACT = "What is the lookup of France?"
PLAN = "First lookup France, then use the result to compute the math of it."
UNCLEAR = "Population Uruguay vs Paraguay"
ROUTES = {CHAT: "chat", REACT: "react", PLAN: "plan-execute"}


def script(call: ModelCall) -> Said:
    asked = schema_of(call)
    if "agent" in asked:
        return Said.data({"agent": "react", "why": "It has to be looked up."})
    if "steps" in asked:
        return Said.data({"steps": [{"id": "1", "task": "France", "tool": "lookup"}]})
    if "of" in asked:
        return Said.data({"of": "France"})
    if "findings" in asked:
        return Said.data({"findings": "Found."})
    if "complete" in asked:
        return Said.data({"complete": True, "missing": [], "reason": ""})
    if call.tools and call.messages[-1]["role"] != "tool":
        return Said("", [("lookup", {"of": "France"})])
    return Said("Here you are.")


def tools() -> ScriptedTools:
    return ScriptedTools({"lookup": lambda arguments: "68 million.", "math": lambda arguments: "116."})


def stage(answering: Any = script) -> Stage:
    return Stage(answering, tools())


@pytest.mark.parametrize(("text", "agent"), ROUTES.items())
async def test_the_agent_that_fits_answers_and_the_log_says_why(text: str, agent: str) -> None:
    acting = stage()
    log = Log(await acting.run("auto", text))
    assert log.end == RunFinished(FinishReason.STOP)
    route = log.state["route"]
    assert (route["agent"], route["by"]) == (agent, "signals")
    assert set(route["scores"]) == {"chat", "react", "plan-execute"}
    assert route["why"]
    assert ("plan" in log.state) == (agent == "plan-execute")
    assert bool(log.calls) == (agent != "chat")
    assert not any("agent" in schema_of(call) for call in acting.model.calls), "the signals need no model"


@pytest.mark.parametrize("text", [*ROUTES, UNCLEAR])
async def test_a_run_that_is_killed_anywhere_keeps_to_its_choice(text: str) -> None:
    await check_every_prefix(stage, "auto", text)


async def test_the_choice_is_told_in_one_piece_with_its_step() -> None:
    first = everything(await stage().run("auto", CHAT))[:3]
    assert [type(event) for event in first] == [StepStarted, StateDelta, StepFinished]


async def test_where_the_signals_disagree_a_model_decides() -> None:
    acting = stage()
    log = Log(await acting.run("auto", UNCLEAR))
    assert log.state["route"] | {"scores": {}} == {
        "agent": "react",
        "why": "It has to be looked up.",
        "by": "model",
        "scores": {},
    }
    asked = acting.model.calls[0]
    assert "lookup, math" in text_of(asked.messages[0])
    assert asked.options.max_tokens == 200
    assert log.tokens > 0


def undecided(call: ModelCall) -> Said:
    return Said.data({"agent": "oracle"}) if "agent" in schema_of(call) else script(call)


def away(call: ModelCall) -> Said:
    if "agent" in schema_of(call):
        raise errors.model_unavailable()
    return script(call)


@pytest.mark.parametrize("answering", [undecided, away])
async def test_where_the_model_does_not_decide_either_the_best_guess_does(answering: Any) -> None:
    log = Log(await stage(answering).run("auto", "Research the population of Spain for a poem: write me a short poem."))
    assert log.end == RunFinished(FinishReason.STOP)
    assert log.state["route"]["by"] == "signals"
    assert log.state["route"]["agent"] == max(log.state["route"]["scores"], key=log.state["route"]["scores"].get)
    assert log.outcome()["open_steps"] == []


async def test_a_recorded_choice_counts_whatever_the_signals_say_now() -> None:
    log = Log((await stage().run("auto", REACT))[:2])
    acting = stage()
    for events in await acting.run("auto", CHAT, log=log):
        log.add(events)
    assert log.state["route"]["agent"] == "react"
    assert list(log.calls) == ["run_1.m1.c1"]


async def test_the_clients_own_tools_are_left_to_it() -> None:
    log = Log(
        await Stage(lambda call: Said("", [("paint", {})]), ScriptedTools({})).run(
            "auto", "Search for a colour and paint it.", client_tools=[ClientTool(name="paint")]
        )
    )
    assert log.state["route"]["agent"] == "chat"
    assert log.end == RunFinished(FinishReason.TOOL_CALLS)
