"""Models that were not taught to call tools do it in text, which nobody gets to see."""

from typing import Any

import pytest
from dormouse.agent.v1.agent_pb2 import RunLimits
from dormouse.agent.v1.message_pb2 import ClientTool
from dormouse.agent.v1.run_event_pb2 import FINISH_REASON_TOOL_CALLS

from tests.contract.agent_fn.caller import Caller, Event, kinds, only, options, recovery, text_of
from tests.contract.agent_fn.conftest import Tooled
from tests.contract.agent_fn.test_react import react as react_with
from tests.contract.agent_fn.test_react import results_of

CALL = '<tool_call>\n{"name": "look", "arguments": {"text": "here"}}\n</tool_call>'
MODEL = "dormouse-dev-noprefill"


def react(*texts: str, **fields: Any) -> Any:
    return react_with(*texts, **{"model": MODEL, **fields})


async def test_a_call_in_text_is_run_and_not_shown(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says({"content": f"Let me see.\n{CALL}\nIt says blue."}, {"content": "It says here."})
    events = await user_of_tools.run(react())
    assert text_of(events) == "Let me see.\nIt says here."
    started = only(events, "tool_call_started")
    assert (started.tool_call_id, started.name) == ("run_1.m1.c1", "look")
    assert only(events, "tool_result").content == "look says here"
    first, second = await tooled.asked()
    assert "tools" not in first
    system = first["messages"][0]["content"]
    assert "- look: Does what look does." in system
    assert "<tool_call>" in system
    assert [message["role"] for message in second["messages"]] == ["system", "user", "assistant", "user"]
    assert second["messages"][2]["content"].startswith("Let me see.\n\n<tool_call>")
    told = second["messages"][3]["content"].splitlines()
    assert (told[0], told[2], told[4]) == ('<tool_result name="look">', "look says here", "</tool_result>")
    assert told[1].startswith("=== FROM OUTSIDE ")


@pytest.mark.parametrize(
    "text",
    [
        "```json\n{'name': 'look', 'arguments': {'text': 'here'},}\n```\nI wait.",
        '{"tool": "look", "args": {"text": "here"}}',
        'Thought: look.\nAction: look\nAction Input: {"text": "here"}\nObservation: x',
        '<function=look>{"text": "here"}</function>',
        '[{"function": {"name": "look", "arguments": "{\\"text\\": \\"here\\"}"}}]',
        '<tool_call>{"name": "look", "text": "here"}',
    ],
    ids=["fence", "keys", "action", "function", "openai", "flat"],
)
async def test_other_forms_are_understood(tooled: Tooled, user_of_tools: Caller, text: str) -> None:
    await tooled.says({"content": text}, {"content": "Ok."})
    events = await user_of_tools.run(react())
    assert only(events, "tool_result").content == "look says here"
    assert text_of(events) in ("Ok.", "Thought: look.\nOk.")


async def test_several_calls_in_one_text(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says({"content": CALL + CALL.replace("look", "find")}, {"content": "Ok."})
    events = await user_of_tools.run(react())
    assert [result.content for result in results_of(events).values()] == ["look says here", "find says here"]
    assert (await tooled.asked())[1]["messages"][-1]["content"].count("<tool_result") == 2


async def test_a_call_that_nobody_can_read_is_asked_for_again(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(
        {"content": '<tool_call>{"name": "look", "arguments": {"text": "he'}, {"content": CALL}, {"content": "Ok."}
    )
    events = await user_of_tools.run(react())
    assert only(events, "tool_result").content == "look says here"
    assert text_of(events) == "Ok."
    repaired = (await tooled.asked())[1]["messages"]
    assert [message["role"] for message in repaired] == ["system", "user", "assistant", "user"]
    assert "not valid JSON" in repaired[-1]["content"]
    assert kinds(events).count("usage_reported") == 3
    assert kinds(events).count("message_finished") == 2


async def test_a_model_that_never_learns_answers_in_the_end(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says({"content": "<tool_call>{oops", "times": 3}, {"content": "Without tools, then."})
    events = await user_of_tools.run(react())
    assert text_of(events) == "Without tools, then."
    assert "tool_call_started" not in kinds(events)
    assert len(await tooled.asked()) == 4


async def test_json_that_is_no_call_is_an_answer(tooled: Tooled, user_of_tools: Caller) -> None:
    text = 'As asked:\n```json\n{"name": "Fridolin", "age": 3}\n```\nThat is all.'
    await tooled.says({"content": text})
    assert text_of(await user_of_tools.run(react())) == text


async def test_a_tool_that_is_not_there_is_an_error_for_the_model(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says({"content": CALL.replace("look", "stare")}, {"content": "Ok."})
    assert "There is no tool 'stare'" in only(await user_of_tools.run(react()), "tool_result").content


async def test_the_clients_tools_work_the_same_way(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says({"content": CALL.replace("look", "pick")})
    events = await user_of_tools.run(react(client_tools=[ClientTool(name="pick", description="Picks.")]))
    assert only(events, "tool_call_started").at_client
    assert only(events, "run_finished").finish_reason == FINISH_REASON_TOOL_CALLS


async def test_the_last_turn_is_not_told_of_tools(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says({"content": CALL, "times": 2}, {"content": "x"})
    events = await user_of_tools.run(react(limits=RunLimits(iterations=1)))
    assert "You can call" not in str((await tooled.asked())[-1]["messages"])
    assert text_of(events) == "I could not come to an answer with the tools and the steps that I have."


async def test_a_cut_off_call_is_not_repaired(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says({"content": '<tool_call>{"name": "lo', "length": True}, {"content": "Short."})
    events = await user_of_tools.run(react(options=options(max_tokens=5)))
    assert text_of(events) == "Short."
    assert len(await tooled.asked()) == 2


@pytest.mark.parametrize("known", ["message", "result"])
async def test_such_a_run_goes_on_like_any_other(tooled: Tooled, user_of_tools: Caller, known: str) -> None:
    await tooled.says({"content": f"Let me see.\n{CALL}"}, {"content": "It says here.", "times": 0})
    asked = react(model="dormouse-dev-noprefill")
    whole = await user_of_tools.run(asked)
    last = "step_finished" if known == "message" else "tool_result"
    told: list[Event] = whole[: next(at for at, event in enumerate(whole) if event.WhichOneof("event") == last) + 1]
    asked.recovery.CopyFrom(recovery(told))
    rest = await user_of_tools.run(asked)
    assert text_of(told + rest) == "Let me see.\nIt says here."
    assert len(tooled.tools.calls) == (2 if known == "message" else 1)
