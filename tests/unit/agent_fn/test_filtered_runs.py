"""Runs whose models say what they must not: what is told, what is called, and how they end."""

from __future__ import annotations

import pytest
from agent_fn.events import Event, FilterMatched, StateDelta, TextDelta, ToolCallArgs
from agent_fn.models.port import ModelCall
from dormouse.agent.v1.safety_pb2 import (
    FILTER_ACTION_BLOCK,
    FILTER_ACTION_FLAG,
    FILTER_ACTION_MASK,
    Filter,
    FilterAction,
    Safety,
)
from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.filters import Action

from tests.unit.agent_fn.stage import Puts, Said, ScriptedTools, Stage, everything

KEY = "dm_live_" + "a1B2" * 12 + "x"
MAIL = "ann@example.org"


def rules(name: str, action: FilterAction.ValueType) -> Safety:
    return Safety(mark="m7", output=[Filter(name=name, action=action)])


def looks(call: ModelCall) -> Said:
    """A call with a secret in it, then an answer with one."""
    if not any(message["role"] == "tool" for message in call.messages):
        return Said(calls=[("look", {"of": f"{KEY} of {MAIL}"})])
    return Said(f"The key is {KEY}, mail to {MAIL}, bye.")


def tools() -> ScriptedTools:
    return ScriptedTools({"look": lambda arguments: "found"})


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def ran(safety: Safety, agent: str = "react") -> list[Event]:
    puts: Puts = await Stage(looks, tools()).run(agent, "Do it.", safety=safety)
    return everything(puts)


async def test_what_is_masked_is_masked_in_answers_and_in_arguments() -> None:
    events = await ran(rules("secrets", FILTER_ACTION_MASK))
    assert text(events) == f"The key is [dormouse_key], mail to {MAIL}, bye."
    (arguments,) = [event.delta for event in events if isinstance(event, ToolCallArgs)]
    assert arguments == f'{{"of":"[dormouse_key] of {MAIL}"}}'
    assert KEY not in str(events)
    assert [event.place for event in events if isinstance(event, FilterMatched)] == ["arguments", "answer"]


async def test_personal_data_is_a_calls_to_have_where_it_does_not_go_out() -> None:
    events = await ran(rules("personal_data", FILTER_ACTION_MASK))
    assert "mail to [email]" in text(events)
    assert any(MAIL in event.delta for event in events if isinstance(event, ToolCallArgs))


async def test_what_is_flagged_is_told_and_nothing_else() -> None:
    events = await ran(rules("secrets", FILTER_ACTION_FLAG))
    assert KEY in text(events)
    assert {(event.name, event.action) for event in events if isinstance(event, FilterMatched)} == {
        ("secrets", Action.FLAG)
    }


async def test_what_is_blocked_ends_the_run_before_the_call_is_made() -> None:
    made = tools()
    with pytest.raises(DormouseError) as ended:
        await Stage(looks, made).run("react", "Do it.", safety=rules("secrets", FILTER_ACTION_BLOCK))
    assert ended.value.reason == error_pb2.ERROR_REASON_CONTENT_FILTERED
    assert not ended.value.retryable
    assert not made.invoked


async def test_without_rules_nothing_is_held_back() -> None:
    assert KEY in text(await ran(Safety()))


async def test_hidden_answers_are_filtered_before_they_are_state() -> None:
    def plans(call: ModelCall) -> Said:
        if call.options.response_json_schema is None:
            return Said("Done.")
        return Said(f'{{"steps": [{{"id": "s1", "task": "use {KEY}", "tool": "look", "depends_on": []}}]}}')

    events = everything(
        await Stage(plans, tools()).run("plan-execute", "Do it.", safety=rules("secrets", FILTER_ACTION_MASK))
    )
    assert any("[dormouse_key]" in event.patch_json for event in events if isinstance(event, StateDelta))
    assert KEY not in str(events)


async def test_a_filter_that_is_not_known_here_lets_no_run_begin() -> None:
    with pytest.raises(DormouseError) as ended:
        await ran(rules("nobody's", FILTER_ACTION_MASK))
    assert ended.value.reason == error_pb2.ERROR_REASON_INVALID_ARGUMENT
