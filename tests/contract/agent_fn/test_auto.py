"""The auto agent on a real model server, on threads, and what its choice leaves behind."""

from typing import Any

import orjson
import pytest
from dormouse.agent.v1.agent_pb2 import ThreadRef

from tests.contract.agent_fn.caller import Caller, Event, only, recovery, request, text_of
from tests.contract.agent_fn.conftest import Tooled
from tests.contract.agent_fn.test_react import called


def route_of(events: list[Event]) -> dict[str, Any]:
    """The choice that was told."""
    for event in events:
        for operation in orjson.loads(event.state_delta.patch_json or "[]"):
            if operation["path"] == "/route":
                found: dict[str, Any] = operation["value"]
                return found
    raise AssertionError("no choice was told")


@pytest.mark.parametrize(
    ("text", "agent"),
    [
        ("Write me a short poem about a dormouse.", "chat"),
        ("What does the thermometer say right now?", "react"),
        ("Read the thermometer, then send what it says.", "plan-execute"),
    ],
)
async def test_the_agent_that_fits_answers(tooled: Tooled, user_of_tools: Caller, text: str, agent: str) -> None:
    events = await user_of_tools.run(request(text, agent_id="auto"))
    assert (route_of(events)["agent"], route_of(events)["by"]) == (agent, "signals")
    assert text_of(events)
    assert bool(tooled.tools.calls) == (agent != "chat")


async def test_the_development_model_decides_what_the_signals_cannot(tooled: Tooled, user_of_tools: Caller) -> None:
    events = await user_of_tools.run(request("Dormice and their winters", agent_id="auto"))
    route = route_of(events)
    assert route["by"] == "model"
    assert route["why"]
    assert len([event for event in events if event.HasField("usage_reported")]) >= 2


async def test_a_thread_goes_on_from_one_agent_to_the_next(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(called("thermometer", text="inside"), {"content": "It is warm."}, {"content": "A poem."})
    thread = ThreadRef(thread_id="thread_1")
    first = request("What does the thermometer say right now?", agent_id="auto", thread=thread)
    assert route_of(await user_of_tools.run(first))["agent"] == "react"
    second = request("Write me a poem about that.", agent_id="auto", thread=thread, run_id="run_2")
    assert route_of(await user_of_tools.run(second))["agent"] == "chat"
    state = await user_of_tools.state("thread_1")
    assert [message.id for message in state.messages] == [
        *("run_1.i0", "run_1.m1", "run_1.m1.c1.result", "run_1.m2", "run_2.i0", "run_2.m1")
    ]
    roles = [message["role"] for message in (await tooled.asked())[-1]["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


async def test_an_attempt_that_goes_on_keeps_to_the_choice(tooled: Tooled, user_of_tools: Caller) -> None:
    await tooled.says(called("look"), {"content": "Seen."})
    asked = request("Use look, please.", agent_id="auto", thread=ThreadRef(thread_id="thread_1"))
    whole = await user_of_tools.run(asked)
    assert route_of(whole)["agent"] == "react"
    told = [event for event in whole[:-1] if event.WhichOneof("event") != "checkpoint_saved"]
    asked.recovery.CopyFrom(recovery(told))
    rest = await user_of_tools.run(asked)
    assert only(rest, "run_finished")
    assert len(rest) == 2, "all else is in the log"
