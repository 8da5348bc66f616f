"""The npm package @ag-ui/client 1.0: conversations, tools, thoughts, leaving, and everything that goes wrong.

Its middleware and verifier are on; every complete stream is judged by our own checker as well.
"""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.agui import check_stream
from tests.clients.front_end import FrontEnd, running_front_end
from tests.clients.simulation import Simulation, steering
from tests.stack import Platform, Tenant

WEATHER = {
    "name": "get_weather",
    "description": "Tells the weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
FREED_WITHIN_S = 1.0


@pytest.fixture(scope="module")
async def front_end() -> AsyncIterator[FrontEnd]:
    async with running_front_end() as front_end:
        yield front_end


def user(text: str, message_id: str = "q1") -> dict[str, Any]:
    return {"id": message_id, "role": "user", "content": text}


def roles(messages: Any) -> list[str]:
    return [message["role"] for message in messages]


async def test_an_answer_streams_into_the_conversation(front_end: FrontEnd, platform: Platform, tenant: Tenant) -> None:
    turn = await front_end.turn(platform, tenant, "a thread: 'ü' / 🐭", user("What is a dormouse?"), runId="my run")
    turn.must_be_lawful()
    assert turn.of("RUN_STARTED") == {
        "type": "RUN_STARTED",
        "threadId": "a thread: 'ü' / 🐭",
        "runId": "my run",
        "protocolVersion": "1.0",
    }
    assert turn.types[-1] == "RUN_FINISHED"
    assert turn.events[-1]["outcome"] == {"type": "success"}
    assert turn.events[-1]["usage"][0]["outputTokens"] > 0
    assert roles(turn.messages) == ["user", "assistant"]
    assert turn.added[0]["content"] == turn.text
    assert len(turn.text) > 50
    assert turn.pending == []


async def test_two_turns_on_a_thread_are_one_conversation(
    front_end: FrontEnd, platform: Platform, tenant: Tenant
) -> None:
    first = await front_end.turn(platform, tenant, "two turns", user("My favourite animal is the dormouse."))
    second = await front_end.turn(platform, tenant, "two turns", user("Which animal is my favourite?", "q2"))
    first.must_be_lawful()
    second.must_be_lawful()
    assert "My favourite animal is the dormouse" in second.text
    assert roles(second.messages) == ["user", "assistant"] * 2
    async with platform.edge.client(tenant) as http:
        (thread,) = (await http.get("/v1/threads")).json()["data"]
        state = (await http.get(f"/v1/threads/{thread['id']}/state")).json()
    kept = [(message["id"], message["content"]) for message in state["messages"]]
    assert kept == [(message["id"], message["content"]) for message in second.messages]


async def test_a_tool_of_the_front_end_is_called_and_answered(
    front_end: FrontEnd, platform: Platform, tenant: Tenant
) -> None:
    question = user("What is the weather in Bonn, and what is the weather in Paris?")
    asked = await front_end.turn(platform, tenant, "tools", question, tools=[WEATHER])
    asked.must_be_lawful()
    assert [tuple(tool) for tool in asked.tools] == [
        ("get_weather", {"city": "Bonn"}),
        ("get_weather", {"city": "Paris"}),
    ]
    calls = asked.added[0]["toolCalls"]
    assert asked.pending == [call["id"] for call in calls]
    results = [
        {"id": f"r{index}", "role": "tool", "toolCallId": call["id"], "content": f"It is {index + 12} degrees."}
        for index, call in enumerate(calls)
    ]
    answered = await front_end.turn(platform, tenant, "tools", *results, tools=[WEATHER])
    answered.must_be_lawful()
    assert "12 degrees" in answered.text
    assert "13 degrees" in answered.text
    assert answered.pending == []
    assert roles(answered.messages) == ["user", "assistant", "tool", "tool", "assistant"]


async def test_an_agents_own_tools_answer_in_the_stream(front_end: FrontEnd, tooled: Platform, tenant: Tenant) -> None:
    first = await front_end.turn(tooled, tenant, "own", user("What is 17*23?"), agent="react")
    first.must_be_lawful()
    assert roles(first.messages) == ["user", "assistant", "tool", "assistant"]
    assert "391" in first.messages[2]["content"]
    assert first.pending == []
    second = await front_end.turn(tooled, tenant, "own", user("What is 2+3?", "q2"), agent="react")
    second.must_be_lawful()
    assert await thread_of(tooled, tenant) == [message["id"] for message in second.messages]


async def test_a_plans_calls_stay_out_of_the_conversation(
    front_end: FrontEnd, tooled: Platform, tenant: Tenant
) -> None:
    question = user("What is 17*23, and what is 2+3?")
    first = await front_end.turn(tooled, tenant, "plan", question, agent="plan-execute")
    first.must_be_lawful()
    assert first.state["plan"]["rounds"][0]["steps"]
    second = await front_end.turn(tooled, tenant, "plan", user("What is 4*5?", "q2"), agent="plan-execute")
    second.must_be_lawful(state=first.state)
    held = await thread_of(tooled, tenant)
    assert held == [held[0], f"{held[1].partition('.')[0]}.m1", "q2", second.messages[-1]["id"]]


async def thread_of(platform: Platform, tenant: Tenant) -> list[str]:
    """The ids of the messages that the tenant's only thread holds."""
    async with platform.edge.client(tenant) as http:
        (thread,) = (await http.get("/v1/threads")).json()["data"]
        state = (await http.get(f"/v1/threads/{thread['id']}/state")).json()
    return [message["id"] for message in state["messages"]]


async def test_an_approval_is_asked_for_and_answered(
    front_end: FrontEnd, tooled: Platform, tenant: Tenant, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    async with steering(tooled.model_server) as simulation:
        await simulation.script(
            {"tool_calls": [{"name": "note_approved", "arguments": {"file": str(note)}}], "contains": str(tmp_path)},
            {"content": "It is noted.", "contains": str(tmp_path)},
        )
        asked = await front_end.turn(tooled, tenant, "approve", user(f"Note in {tmp_path}"), agent="react")
        asked.must_be_lawful()
        (interrupt,) = asked.interrupts
        assert (interrupt["reason"], interrupt["metadata"]["dormouse"]["tool"]) == ("tool_call", "note_approved")
        assert interrupt["responseSchema"]["properties"]["editedArgs"]
        refused = await front_end.turn(tooled, tenant, "approve", user("Well?", "q2"), agent="react")
        assert "pending interrupt" in (refused.failure or {})["message"]
        assert not note.exists()
        edited = {"file": str(note.with_suffix(".edited"))}
        answer = {"interruptId": interrupt["id"], "status": "resolved"}
        answer["payload"] = {"approved": True, "editedArgs": edited}
        told = await front_end.turn(tooled, tenant, "approve", agent="react", resume=[answer])
    told.must_be_lawful(calls=[interrupt["toolCallId"]])
    assert told.interrupts == []
    assert told.text == "It is noted."
    assert "noted in note.edited" in told.of("TOOL_CALL_RESULT")["content"]
    assert len(note.with_suffix(".edited").read_text().splitlines()) == 1
    assert not note.exists()


async def test_a_document_grows_in_the_state(front_end: FrontEnd, tooled: Platform, tenant: Tenant) -> None:
    wish = user('Write a markdown list called "Winter" for moss and hazelnuts')
    first = await front_end.turn(tooled, tenant, "canvas", wish, agent="canvas")
    first.must_be_lawful()
    ((name, document),) = first.state["artifacts"].items()
    async with tooled.edge.client(tenant) as http:
        kept = (await http.get(f"/v1/artifacts/{name}")).json()
    assert "\n".join(document["lines"]) == kept["content"]
    assert (document["title"], document["version"]) == (kept["title"], 1)


async def test_thoughts_are_messages_of_their_own_and_no_part_of_what_is_said(
    front_end: FrontEnd, platform: Platform, tenant: Tenant
) -> None:
    async with steering(platform.model_server) as simulation, simulation.configured(think=1):
        turn = await front_end.turn(platform, tenant, "thoughts", user("What is a dormouse?"))
        again = await front_end.turn(platform, tenant, "thoughts", user("What does it eat?", "q2"))
    turn.must_be_lawful()
    again.must_be_lawful()
    assert turn.types.index("REASONING_END") < turn.types.index("TEXT_MESSAGE_START")
    assert turn.events[-1]["usage"][0]["reasoningTokens"] > 0
    assert roles(again.messages) == ["user", "reasoning", "assistant"] * 2
    assert len({message["id"] for message in again.messages}) == 6
    assert turn.messages[1]["content"]
    assert turn.messages[1]["content"] not in turn.text


async def test_a_front_end_that_leaves_stops_the_model(
    front_end: FrontEnd, fragile: Platform, tenant: Tenant, simulation: Simulation
) -> None:
    async with simulation.configured(token_ms=20):
        turn = await front_end.turn(
            fragile, tenant, "leaving", user("Tell me a story in 500 words"), abortAt="TEXT_MESSAGE_CONTENT"
        )
        call = await simulation.wait("aborted", within_s=FREED_WITHIN_S)
    assert 0 < call["tokens_sent"] < call["tokens"]
    assert "RUN_FINISHED" not in turn.types
    assert turn.verdict == "content"
    again = await front_end.turn(fragile, tenant, "leaving", user("Say: hazelnut", "q2"))
    again.must_be_lawful()
    assert again.text == "hazelnut"


async def test_a_model_that_falls_silent_is_an_error_in_the_stream(
    front_end: FrontEnd, fragile: Platform, tenant: Tenant, simulation: Simulation
) -> None:
    for at_token in (0, 5):
        async with simulation.failing("hang", at_token=at_token):
            turn = await front_end.turn(fragile, tenant, f"silent at {at_token}", user("What is a dormouse?"))
        turn.must_be_lawful()
        assert turn.types[-1] == "RUN_ERROR"
        assert turn.events[-1]["code"] == "model_timeout"
        assert bool(turn.text) == (at_token > 0)
        recovered = await front_end.turn(fragile, tenant, f"silent at {at_token}", user("Say: hazelnut", "q2"))
        recovered.must_be_lawful()
        assert recovered.text == "hazelnut"


async def test_an_answer_that_cannot_be_continued_is_replaced_openly(
    front_end: FrontEnd, fragile: Platform, tenant: Tenant, simulation: Simulation
) -> None:
    undisturbed = await front_end.turn(fragile, tenant, "undisturbed", user("What is a dormouse?"))
    async with simulation.failing("cut", at_token=5):
        turn = await front_end.turn(fragile, tenant, "cut", user("What is a dormouse?"))
    turn.must_be_lawful()
    assert turn.types.count("MESSAGES_SNAPSHOT") == 1
    assert turn.types[-1] == "RUN_FINISHED"
    assert turn.messages[-1]["content"] == undisturbed.messages[-1]["content"]
    assert roles(turn.messages) == ["user", "assistant"]


async def test_a_conversation_is_restated_whatever_numbers_are_in_it(
    fragile: Platform, tenant: Tenant, simulation: Simulation
) -> None:
    message = '{"id": "m", "role": "user", "content": "Hi", "metadata": {"odd": HERE}}'
    body = f'{{"threadId": "odd", "runId": "r", "messages": [{message}], "state": HERE}}'
    async with fragile.edge.client(tenant) as http:
        for number in ("9" * 400, "1e400", "NaN"):
            async with simulation.failing("cut", at_token=5):
                response = await http.post("/v1/agents/chat/ag-ui", content=body.replace("HERE", number))
            assert check_stream(response.content)[-1]["type"] == "RUN_FINISHED"
            assert b"MESSAGES_SNAPSHOT" in response.content


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ({"agent": "nobody"}, 404, "agent_not_found"),
        ({"agent": "no/body?x"}, 404, "unknown_url"),
        ({"key": "dm_live_" + "0" * 49}, 401, "invalid_api_key"),
        ({"runId": "x" * 300}, 400, "invalid_argument"),
    ],
)
async def test_what_is_wrong_before_the_stream_is_an_http_error(
    front_end: FrontEnd, platform: Platform, tenant: Tenant, wish: Mapping[str, Any], status: int, code: str
) -> None:
    turn = await front_end.turn(platform, tenant, f"refused {code}", user("Hello?"), **wish)
    assert turn.failure is not None
    assert (turn.failure["status"], turn.failure["payload"]["error"]["code"]) == (status, code)
    assert turn.events == []


async def test_two_runs_at_once_on_a_thread_are_a_conflict(
    front_end: FrontEnd, fragile: Platform, tenant: Tenant, simulation: Simulation
) -> None:
    async with simulation.configured(token_ms=20), fragile.edge.client(tenant) as http:
        body = {"threadId": "busy", "runId": "first", "messages": [user("Tell me a story in 500 words")]}
        async with http.stream("POST", "/v1/agents/chat/ag-ui", json=body) as first:
            assert first.status_code == 200
            second = await front_end.turn(fragile, tenant, "busy", user("Hello?", "q2"))
    assert second.failure is not None
    assert (second.failure["status"], second.failure["payload"]["error"]["code"]) == (409, "thread_busy")


@pytest.mark.parametrize(
    ("hidden", "objection"),
    [("RUN_STARTED", "First event must be"), ("TEXT_MESSAGE_START", "TEXT_MESSAGE_START"), ("STEP_STARTED", "STEP")],
)
async def test_the_clients_verifier_is_on(
    front_end: FrontEnd, platform: Platform, tenant: Tenant, hidden: str, objection: str
) -> None:
    turn = await front_end.turn(platform, tenant, f"hidden {hidden}", user("Hello?"), without=hidden)
    assert turn.failure is not None
    assert objection in turn.failure["message"]
