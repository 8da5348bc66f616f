"""AG-UI 1.0 on the running platform: raw streams through the judge."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from tests.agui import AguiChecker, check_stream, parse_stream
from tests.stack import Fleet, Platform, Tenant

WEATHER = {
    "name": "get_weather",
    "description": "Tells the weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}

Event = Mapping[str, Any]


@pytest.fixture
async def http(platform: Platform, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with platform.edge.client(tenant) as http:
        yield http


def user(message_id: str, text: str) -> dict[str, Any]:
    return {"id": message_id, "role": "user", "content": text}


def run_input(*messages: dict[str, Any], thread: str = "t", **others: Any) -> dict[str, Any]:
    return {"threadId": thread, "runId": "my run", "messages": messages, **others}


async def run(http: httpx.AsyncClient, body: dict[str, Any]) -> list[Event]:
    response = await http.post("/v1/agents/chat/ag-ui", json=body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return check_stream(response.content)


def answer_of(events: list[Event]) -> dict[str, Any]:
    """The assistant's message, as a client would hold it."""
    start = next(event for event in events if event["type"] == "TEXT_MESSAGE_START")
    text = "".join(event["delta"] for event in events if event["type"] == "TEXT_MESSAGE_CONTENT")
    return {"id": start["messageId"], "role": "assistant", "content": text}


async def state_of(http: httpx.AsyncClient, metadata_id: str) -> dict[str, Any]:
    threads = (await http.get("/v1/threads")).json()["data"]
    thread = next(thread for thread in threads if thread["metadata"].get("ag_ui_thread_id") == metadata_id)
    state: dict[str, Any] = (await http.get(f"/v1/threads/{thread['id']}/state")).json()
    return state


async def test_a_run_is_a_lawful_stream_with_the_clients_own_names(http: httpx.AsyncClient) -> None:
    events = await run(http, run_input(user("q1", "What is a dormouse?")))
    assert events[0] == {"type": "RUN_STARTED", "threadId": "t", "runId": "my run", "protocolVersion": "1.0"}
    assert events[-1]["outcome"] == {"type": "success"}
    assert events[-1]["usage"][0]["outputTokens"] > 0
    assert answer_of(events)["content"]


async def test_a_conversation_goes_on_and_only_what_is_new_is_given_to_the_agent(http: httpx.AsyncClient) -> None:
    name = "any text: 'ü' / 🐭"
    first, second = user("q1", "What is a dormouse?"), user("q2", "What does it eat?")
    one = answer_of(await run(http, run_input(first, thread=name)))
    two = answer_of(await run(http, run_input(first, one, second, thread=name)))
    held = (await state_of(http, name))["messages"]
    assert [message["id"] for message in held] == ["q1", one["id"], "q2", two["id"]]


async def test_an_edited_history_is_the_one_that_counts(http: httpx.AsyncClient) -> None:
    name = "edited"
    one = answer_of(await run(http, run_input(user("q1", "What is a dormouse?"), thread=name)))
    two = answer_of(await run(http, run_input(user("q1", "What is a hamster?"), thread=name)))
    held = (await state_of(http, name))["messages"]
    assert [message["id"] for message in held] == ["q1", two["id"]]
    assert held[0]["content"] == "What is a hamster?"
    assert one["id"] != two["id"]
    again = answer_of(await run(http, run_input(user("q1", "What is a hamster?"), thread=name)))
    assert [message["id"] for message in (await state_of(http, name))["messages"]] == ["q1", again["id"]]


async def test_a_frontend_tool_is_left_to_the_client_and_its_answer_taken_up(http: httpx.AsyncClient) -> None:
    question = user("q1", "What is the weather in Bonn?")
    events = await run(http, run_input(question, thread="tools", tools=[WEATHER]))
    call = next(event for event in events if event["type"] == "TOOL_CALL_START")
    arguments = "".join(event["delta"] for event in events if event["type"] == "TOOL_CALL_ARGS")
    assert (call["toolCallName"], json.loads(arguments)) == ("get_weather", {"city": "Bonn"})
    assert events[-1]["outcome"] == {"type": "success", "pendingToolCallIds": [call["toolCallId"]]}
    function = {"name": "get_weather", "arguments": arguments}
    asked = {
        "id": call["parentMessageId"],
        "role": "assistant",
        "toolCalls": [{"id": call["toolCallId"], "type": "function", "function": function}],
    }
    told = {"id": "r1", "role": "tool", "toolCallId": call["toolCallId"], "content": "It rains in Bonn."}
    events = await run(http, run_input(question, asked, told, thread="tools", tools=[WEATHER]))
    assert "rains" in answer_of(events)["content"]
    held = (await state_of(http, "tools"))["messages"]
    assert [message["role"] for message in held] == ["user", "assistant", "tool", "assistant"]


async def test_reasoning_and_context_state_and_props_travel_along(http: httpx.AsyncClient) -> None:
    body = run_input(
        user("q1", "What is a dormouse?"),
        thread="rich",
        state={"a": None},
        context=[{"description": "The user's city", "value": "Bonn"}],
        forwardedProps={"x": [None]},
        protocolVersion="1.1",
        invented={"later": True},
    )
    await run(http, body)
    held = (await state_of(http, "rich"))["messages"]
    assert held[0]["role"] == "system"
    assert "Bonn" in held[0]["content"]


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"threadId": None}, 400, "threadId"),
        ({"threadId": "x" * 201}, 400, "threadId"),
        ({"runId": 5}, 400, "runId"),
        ({"messages": "Hi"}, 400, "messages"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, 400, "messages[0].id"),
        ({"messages": [{"id": "a", "role": "user", "content": 5}]}, 400, "messages[0].content"),
        ({"tools": [{"name": 1, "description": ""}]}, 400, "tools[0].name"),
        ({"resume": [{"interruptId": "i", "status": "perhaps"}]}, 400, "resume[0].status"),
        ({"resume": [{"status": "resolved"}]}, 400, "resume[0].interruptId"),
    ],
)
async def test_bad_input_is_an_http_error_and_no_stream(
    http: httpx.AsyncClient, change: dict[str, Any], status: int, param: str
) -> None:
    body = {**run_input(user("q1", "Hi")), **change}
    response = await http.post("/v1/agents/chat/ag-ui", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)


async def test_an_unknown_agent_or_key_is_an_http_error(http: httpx.AsyncClient, platform: Platform) -> None:
    response = await http.post("/v1/agents/nobody/ag-ui", json=run_input(user("q1", "Hi")))
    assert (response.status_code, response.json()["error"]["code"]) == (404, "agent_not_found")
    async with platform.edge.client() as stranger:
        response = await stranger.post("/v1/agents/chat/ag-ui", json=run_input(user("q1", "Hi")))
        assert response.status_code == 401


async def test_a_run_that_is_stopped_or_fails_says_so(fleet: Fleet, tenant: Tenant) -> None:
    model_server = await fleet.model_server(ttft_ms=1, token_ms=20)
    edge = await fleet.edge(await fleet.agent_fn(model_server, env={"DORMOUSE_DEFAULT_MODEL": "sim:latest"}))
    async with edge.client(tenant) as http, model_server.control() as control:
        await control.put("/_sim/config", json={"tokens": 10_000})
        checker, raw = AguiChecker(), b""
        async with http.stream("POST", "/v1/agents/chat/ag-ui", json=run_input(user("q1", "Hi"))) as response:
            async for chunk in response.aiter_bytes():
                if b"TEXT_MESSAGE_CONTENT" in chunk and b"TEXT_MESSAGE_CONTENT" not in raw:
                    await http.post(f"/v1/runs/{response.headers['x-dormouse-run-id']}/cancel")
                raw += chunk
        for event in parse_stream(raw):
            checker.feed(event)
        checker.finish()
        assert event["outcome"] == {"type": "cancelled"}
        busy = asyncio.create_task(http.post("/v1/agents/chat/ag-ui", json=run_input(user("q1", "Hi"), thread="b")))
        await control.get("/_sim/wait", params={"state": "streaming", "tokens": 1})
        second = await http.post("/v1/agents/chat/ag-ui", json=run_input(user("q2", "Hi"), thread="b"))
        assert (second.status_code, second.json()["error"]["code"]) == (409, "thread_busy")
        busy.cancel()
        gone = await control.get("/_sim/wait", params={"state": "aborted"})
        assert gone.status_code == 200
