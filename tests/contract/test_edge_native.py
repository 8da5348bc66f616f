"""The native API on the running platform: runs that are left, resumed, cancelled and listed; threads; other tenants."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.stack import Fleet, Platform, Stack, Tenant

QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "What is a dormouse?"}]}
TERMINAL = {"run.finished", "run.failed", "run.cancelled", "run.interrupted"}

Event = tuple[int, str, dict[str, Any]]


@pytest.fixture
async def http(platform: Platform, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with platform.edge.client(tenant) as http:
        yield http


def parse(text: str) -> list[Event]:
    events = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if lines:
            events.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return events


async def events_of(http: httpx.AsyncClient, run_id: str, **options: Any) -> list[Event]:
    response = await http.get(f"/v1/runs/{run_id}/events", **options)
    assert response.status_code == 200, response.text
    return parse(response.text)


def text_of(events: list[Event]) -> str:
    return "".join(data["text"] for _, name, data in events if name == "message.delta")


async def test_a_stream_is_the_whole_log_and_can_be_read_again_from_anywhere(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/runs", json={"input": QUESTION})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = parse(response.text)
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    assert events[0][1] == "run.started"
    assert [name for _, name, _ in events if name in TERMINAL] == [events[-1][1]] == ["run.finished"]
    assert text_of(events)
    run_id = response.headers["x-dormouse-run-id"]
    assert await events_of(http, run_id) == events
    for after in (1, 5, len(events) - 1, len(events)):
        assert await events_of(http, run_id, params={"after": after}) == events[after:]
        assert await events_of(http, run_id, headers={"last-event-id": str(after)}) == events[after:]
    assert await events_of(http, run_id, params={"after": 3}, headers={"last-event-id": "7"}) == events[7:]
    assert await events_of(http, run_id, params={"after": 10_000}) == []


@pytest.mark.parametrize("position", ["x", "-1", "1.5", str(2**63), "9" * 5000])
async def test_a_position_that_is_none_is_refused(http: httpx.AsyncClient, position: str) -> None:
    run_id = "run_" + "a" * 24
    response = await http.get(f"/v1/runs/{run_id}/events", headers={"last-event-id": position})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "last-event-id")
    response = await http.get(f"/v1/runs/{run_id}/events", params={"after": position})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "after")


async def test_a_background_run_answers_at_once_and_is_read_elsewhere(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/runs", json={"agent": "chat", "background": True, "input": QUESTION})
    assert response.status_code == 202
    run = response.json()
    assert response.headers["location"] == f"/v1/runs/{run['id']}"
    assert run["status"] in ("queued", "running")
    assert (await events_of(http, run["id"]))[-1][1] == "run.finished"
    finished = (await http.get(f"/v1/runs/{run['id']}")).json()
    assert (finished["status"], finished["finish_reason"]) == ("completed", "stop")
    assert finished["usage"]["completion_tokens"] > 0
    assert finished["error"] is None
    again = await http.post(f"/v1/runs/{run['id']}/cancel")
    assert again.json()["status"] == "completed"


async def test_threads_are_made_changed_listed_and_deleted(http: httpx.AsyncClient) -> None:
    first = (await http.post("/v1/threads", json={"metadata": {"a": "1", "b": "2"}})).json()
    second = (await http.post("/v1/threads")).json()
    assert first["metadata"] == {"a": "1", "b": "2"}
    page = (await http.get("/v1/threads", params={"limit": 1})).json()
    assert (page["data"], page["has_more"], page["last_id"]) == ([second], True, second["id"])
    rest = (await http.get("/v1/threads", params={"after": page["last_id"]})).json()
    assert (rest["data"], rest["has_more"]) == ([first], False)
    changed = await http.patch(f"/v1/threads/{first['id']}", json={"metadata": {"a": None, "c": "3"}})
    assert changed.json()["metadata"] == {"b": "2", "c": "3"}
    assert (await http.get(f"/v1/threads/{first['id']}")).json() == changed.json()
    assert (await http.delete(f"/v1/threads/{first['id']}")).json()["deleted"] is True
    for request in (http.get, http.delete):
        assert (await request(f"/v1/threads/{first['id']}")).status_code == 404


async def test_a_thread_remembers_what_was_said_on_it(http: httpx.AsyncClient) -> None:
    thread = (await http.post("/v1/threads")).json()["id"]
    assert (await http.get(f"/v1/threads/{thread}/state")).json()["messages"] == []
    answers = []
    for number, text in enumerate(("What is a dormouse?", "And what does it eat?")):
        message = {"id": f"q{number}", "role": "user", "content": text}
        response = await http.post(f"/v1/threads/{thread}/runs", json={"input": {"messages": [message]}})
        answers.append(text_of(parse(response.text)))
    state = (await http.get(f"/v1/threads/{thread}/state")).json()
    assert [message["role"] for message in state["messages"]] == ["user", "assistant"] * 2
    assert [message["id"] for message in state["messages"]][::2] == ["q0", "q1"]
    assert [message["content"] for message in state["messages"]][1::2] == answers
    runs = (await http.get(f"/v1/threads/{thread}/runs")).json()["data"]
    assert [run["thread_id"] for run in runs] == [thread, thread]
    await http.delete(f"/v1/threads/{thread}")
    assert (await http.get(f"/v1/runs/{runs[0]['id']}")).status_code in (200, 404)


async def test_runs_are_listed_newest_first_by_page_and_by_state(http: httpx.AsyncClient) -> None:
    made = []
    for _ in range(3):
        response = await http.post("/v1/runs", json={"input": QUESTION, "model": "dormouse-dev"})
        made.append(response.headers["x-dormouse-run-id"])
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = (await http.get("/v1/runs", params={"limit": 2, **after})).json()
        seen += [run["id"] for run in page["data"]]
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}
    assert seen == made[::-1]
    assert (await http.get("/v1/runs", params={"status": "failed"})).json()["data"] == []
    assert (await http.get("/v1/runs", params={"status": "nonsense"})).status_code == 400
    assert (await http.get("/v1/runs", params={"after": "run_" + "a" * 24})).json()["data"] == []


async def test_another_tenants_things_are_as_unknown_as_what_never_was(
    stack: Stack, platform: Platform, http: httpx.AsyncClient
) -> None:
    thread = (await http.post("/v1/threads")).json()["id"]
    response = await http.post(f"/v1/threads/{thread}/runs", json={"input": QUESTION})
    run = response.headers["x-dormouse-run-id"]
    async with platform.edge.client(await stack.database.tenant()) as stranger:
        for known, unknown, path in (
            (run, "run_" + "a" * 24, "/v1/runs/{}"),
            (run, "run_" + "a" * 24, "/v1/runs/{}/events"),
            (thread, "thread_" + "a" * 24, "/v1/threads/{}"),
            (thread, "thread_" + "a" * 24, "/v1/threads/{}/state"),
            (thread, "thread_" + "a" * 24, "/v1/threads/{}/runs"),
        ):
            answers = [await stranger.get(path.format(name)) for name in (known, unknown, "nonsense", "%00", "é")]
            assert {answer.status_code for answer in answers} == {404}, path
            assert answers[0].text.replace(known, "") == answers[1].text.replace(unknown, "")
        assert (await stranger.post(f"/v1/runs/{run}/cancel")).status_code == 404
        assert (await stranger.post(f"/v1/threads/{thread}/runs", json={"input": QUESTION})).status_code == 404
        assert (await stranger.patch(f"/v1/threads/{thread}", json={"metadata": {}})).status_code == 404
        assert (await stranger.delete(f"/v1/threads/{thread}")).status_code == 404
        assert (await stranger.get("/v1/threads")).json()["data"] == []
        assert (await stranger.get("/v1/runs")).json()["data"] == []
    assert (await http.get(f"/v1/threads/{thread}")).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "input"),
        ({"input": {"messages": []}}, 400, "input.messages"),
        ({"input": {"messages": [{"role": "user"}]}}, 400, "input.messages[0].content"),
        ({"input": {"messages": [{"role": "tool", "content": "x"}]}}, 400, "input.messages[0].tool_call_id"),
        ({"input": QUESTION, "agent": "nope"}, 404, "agent"),
        ({"input": QUESTION, "model": "nope"}, 404, "model"),
        ({"input": QUESTION, "background": "yes"}, 400, "background"),
        ({"input": QUESTION, "on_disconnect": "explode"}, 400, "on_disconnect"),
        ({"input": QUESTION, "multitask_strategy": "sometimes"}, 400, "multitask_strategy"),
        ({"input": QUESTION, "options": {"temperature": "hot"}}, 400, "options.temperature"),
    ],
)
async def test_a_run_that_cannot_be_is_refused_by_name(
    http: httpx.AsyncClient, body: dict[str, Any], status: int, param: str
) -> None:
    response = await http.post("/v1/runs", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)


@pytest.mark.parametrize(
    "metadata", [{"a": 1}, {"a": "\0"}, {"\0": "a"}, {"a": "x" * 513}, {"k" * 65: ""}, {str(n): "" for n in range(17)}]
)
async def test_metadata_that_cannot_be_kept_is_refused(http: httpx.AsyncClient, metadata: dict[str, Any]) -> None:
    response = await http.post("/v1/threads", json={"metadata": metadata})
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith("metadata")


async def test_a_run_goes_on_or_ends_when_its_client_leaves_as_it_was_told(fleet: Fleet, tenant: Tenant) -> None:
    model_server = await fleet.model_server(ttft_ms=1, token_ms=10, tokens=50)
    edge = await fleet.edge(await fleet.agent_fn(model_server))
    async with edge.client(tenant) as http:
        for wish, status in (("cancel", "cancelled"), ("continue", "completed")):
            body = {"model": "sim", "input": QUESTION, "on_disconnect": wish}
            async with http.stream("POST", "/v1/runs", json=body) as response:
                await anext(response.aiter_lines())
                run_id = response.headers["x-dormouse-run-id"]
            events = await events_of(http, run_id)
            assert events[-1][1] == {"cancelled": "run.cancelled", "completed": "run.finished"}[status]
            assert (await http.get(f"/v1/runs/{run_id}")).json()["status"] == status


async def test_a_busy_thread_refuses_queues_or_makes_way(fleet: Fleet, tenant: Tenant) -> None:
    model_server = await fleet.model_server(ttft_ms=1, token_ms=20, tokens=20)
    edge = await fleet.edge(await fleet.agent_fn(model_server))
    async with edge.client(tenant) as http:
        thread = (await http.post("/v1/threads")).json()["id"]

        async def start(strategy: str) -> httpx.Response:
            body = {"model": "sim", "background": True, "input": QUESTION, "multitask_strategy": strategy}
            return await http.post(f"/v1/threads/{thread}/runs", json=body)

        first = (await start("reject")).json()["id"]
        refused = await start("reject")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "thread_busy")
        assert refused.headers["x-should-retry"] == "false"
        queued = (await start("enqueue")).json()
        assert queued["status"] == "queued"
        follower = asyncio.create_task(events_of(http, queued["id"]))
        assert (await events_of(http, first))[-1][1] == "run.finished"
        assert (await follower)[-1][1] == "run.finished"
        running = (await start("reject")).json()["id"]
        newcomer = (await start("interrupt")).json()["id"]
        assert (await events_of(http, running))[-1][2]["cause"] == "interrupted"
        assert (await events_of(http, newcomer))[-1][1] == "run.finished"
        running = (await start("reject")).json()["id"]
        assert (await http.delete(f"/v1/threads/{thread}")).status_code == 200
        assert (await http.get(f"/v1/threads/{thread}")).status_code == 404


async def test_a_chat_is_a_run_that_can_be_stopped_and_then_is_an_error_in_its_stream(
    fleet: Fleet, tenant: Tenant
) -> None:
    edge = await fleet.edge(await fleet.agent_fn(await fleet.model_server(ttft_ms=1, token_ms=20, tokens=10_000)))
    chat = {"model": "sim", "stream": True, **QUESTION}
    async with edge.client(tenant) as http, http.stream("POST", "/v1/chat/completions", json=chat) as response:
        lines = response.aiter_lines()
        assert (await anext(lines)).startswith("data: {")
        cancelled = await http.post(f"/v1/runs/{response.headers['x-dormouse-run-id']}/cancel")
        assert cancelled.json()["status"] == "cancelled"
        rest = [line async for line in lines if line]
        assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"] == "run_cancelled"
        assert (await http.get("/v1/runs")).json()["data"] == [], "it is not recorded"
