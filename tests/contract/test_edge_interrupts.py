"""Runs that ask a person, over the native API: what is asked, what may be answered, once and for all."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.contract.agent_service import ARGUMENTS
from tests.contract.scripted_edge import Event, ScriptedEdge, ask, parse, scripted_edge
from tests.stack import Stack, Tenant

RUN: dict[str, Any] = {"agent": "asking", "input": ask()}


@pytest.fixture
def bench(scripted: ScriptedEdge) -> ScriptedEdge:
    return scripted


@pytest.fixture
async def http(bench: ScriptedEdge, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with bench.edge.client(tenant) as http:
        yield http


async def interrupted(http: httpx.AsyncClient, path: str = "/v1/runs") -> tuple[str, list[Event], dict[str, Any]]:
    """A run that asks: its id, its events, and answers that say yes to everything."""
    response = await http.post(path, json=RUN)
    events = parse(response.text)
    answers = {interrupt["id"]: {"action": "approve"} for interrupt in events[-1][2]["interrupts"]}
    return response.headers["x-dormouse-run-id"], events, answers


async def test_a_run_says_what_it_asks_in_its_stream_and_its_record(http: httpx.AsyncClient) -> None:
    run_id, events, answers = await interrupted(http)
    assert events[-1][1] == "run.interrupted"
    first = events[-1][2]["interrupts"][0]
    assert first == {
        "id": f"{run_id}.m1.c0.approval",
        "reason": "tool_approval",
        "message": "May I send it?",
        "tool_call_id": f"{run_id}.m1.c0",
        "details": {"tool": "send", "arguments": ARGUMENTS},
        "response_schema": {"type": "object"},
    }
    run = (await http.get(f"/v1/runs/{run_id}")).json()
    assert (run["status"], run["interrupts"]) == ("interrupted", events[-1][2]["interrupts"])
    assert run["usage"]["completion_tokens"] == 5
    listed = (await http.get("/v1/runs", params={"status": "interrupted"})).json()["data"]
    assert [run["id"] for run in listed] == [run_id]
    assert len(answers) == 2


async def test_answers_let_the_run_go_on_in_the_same_log(http: httpx.AsyncClient, bench: ScriptedEdge) -> None:
    run_id, before, answers = await interrupted(http)
    edited, refused = answers
    answers[edited] = {"action": "edit", "arguments": {"to": "bob"}}
    answers[refused] = {"action": "reject", "reason": "No."}
    response = await http.post(f"/v1/runs/{run_id}/resume", json={"answers": answers})
    assert response.headers["x-dormouse-run-id"] == run_id
    after = parse(response.text)
    assert after[0][1:] == ("run.resumed", {"seq": after[0][0], "unix_ms": after[0][2]["unix_ms"], "answers": answers})
    assert [number for number, _, _ in before + after] == list(range(1, len(before + after) + 1))
    assert after[-1][1] == "run.finished"
    assert [data["content"] for _, name, data in after if name == "tool_call.result"] == [
        '{"action":"edit","arguments":{"to":"bob"}}',
        '{"action":"reject","reason":"No."}',
    ]
    assert parse((await http.get(f"/v1/runs/{run_id}/events")).text) == before + after
    run = (await http.get(f"/v1/runs/{run_id}")).json()
    assert (run["status"], run["interrupts"], run["usage"]["completion_tokens"]) == ("completed", [], 10)
    assert bench.agents.requests[-1].can_interrupt


async def test_the_same_answers_act_once_however_often_they_come(http: httpx.AsyncClient, bench: ScriptedEdge) -> None:
    run_id, _, answers = await interrupted(http)
    body = {"answers": answers}
    told = await asyncio.gather(*(http.post(f"/v1/runs/{run_id}/resume", json=body) for _ in range(4)))
    told.append(await http.post(f"/v1/runs/{run_id}/resume", json=body))
    streams = [parse(response.text) for response in told]
    assert all(stream == streams[0] for stream in streams)
    assert streams[0][0][1] == "run.resumed"
    assert len([request for request in bench.agents.requests if request.run_id == run_id]) == 2
    other = {name: {"action": "reject"} for name in answers}
    late = await http.post(f"/v1/runs/{run_id}/resume", json={"answers": other})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "conflict")


async def test_a_run_is_answered_in_the_background(http: httpx.AsyncClient) -> None:
    run_id, before, answers = await interrupted(http)
    response = await http.post(f"/v1/runs/{run_id}/resume", json={"answers": answers, "background": True})
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/runs/{run_id}"
    assert response.json()["interrupts"] == []
    after = parse((await http.get(f"/v1/runs/{run_id}/events", params={"after": len(before)})).text)
    assert (after[0][1], after[-1][1]) == ("run.resumed", "run.finished")


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ({}, 400),
        (None, 400),
        ([], 400),
        ({"FIRST": {"action": "approve"}}, 400),
        ({"FIRST": {"action": "approve"}, "SECOND": {"action": "approve"}, "third": {}}, 400),
        ({"FIRST": {"action": "perhaps"}, "SECOND": {"action": "approve"}}, 400),
        ({"FIRST": {"action": "edit"}, "SECOND": {"action": "approve"}}, 400),
        ({"FIRST": "yes", "SECOND": {"action": "approve"}}, 400),
    ],
)
async def test_answers_that_are_none_are_refused_and_the_run_waits_on(
    http: httpx.AsyncClient, answers: Any, status: int
) -> None:
    run_id, _, good = await interrupted(http)
    names = dict(zip(("FIRST", "SECOND"), good, strict=True))
    if isinstance(answers, dict):
        answers = {names.get(name, name): answer for name, answer in answers.items()}
    response = await http.post(f"/v1/runs/{run_id}/resume", json={"answers": answers})
    assert (response.status_code, response.json()["error"]["param"]) == (status, "answers")
    assert (await http.get(f"/v1/runs/{run_id}")).json()["status"] == "interrupted"


async def test_only_a_run_that_asks_can_be_answered_and_only_by_its_tenant(
    bench: ScriptedEdge, stack: Stack, http: httpx.AsyncClient
) -> None:
    finished = await http.post("/v1/runs", json={"agent": "writing", "input": ask()})
    body = {"answers": {"x": 1}}
    response = await http.post(f"/v1/runs/{finished.headers['x-dormouse-run-id']}/resume", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (409, "conflict")
    run_id, _, answers = await interrupted(http)
    async with bench.edge.client(await stack.database.tenant()) as stranger:
        for name in (run_id, "run_" + "a" * 24, "nonsense"):
            response = await stranger.post(f"/v1/runs/{name}/resume", json={"answers": answers})
            assert (response.status_code, response.json()["error"]["code"]) == (404, "run_not_found")
        assert (await stranger.get(f"/v1/runs/{run_id}/trace")).status_code == 404


async def test_a_run_that_asks_holds_its_thread_until_it_is_answered_or_cancelled(http: httpx.AsyncClient) -> None:
    thread = (await http.post("/v1/threads")).json()["id"]
    path = f"/v1/threads/{thread}/runs"
    run_id, _, _ = await interrupted(http, path)
    busy = await http.post(path, json=RUN)
    assert (busy.status_code, busy.json()["error"]["code"]) == (409, "thread_busy")
    assert (await http.post(f"/v1/runs/{run_id}/cancel")).json()["status"] == "cancelled"
    events = parse((await http.get(f"/v1/runs/{run_id}/events")).text)
    assert [name for _, name, _ in events[-2:]] == ["run.interrupted", "run.cancelled"]
    assert (await interrupted(http, path))[1][-1][1] == "run.interrupted"


async def test_a_thread_that_is_deleted_takes_all_that_its_runs_have_said_with_it(http: httpx.AsyncClient) -> None:
    thread = (await http.post("/v1/threads")).json()["id"]
    path = f"/v1/threads/{thread}/runs"
    finished = (await http.post(path, json={"agent": "writing", "input": ask()})).headers["x-dormouse-run-id"]
    waiting, _, answers = await interrupted(http, path)
    assert (await http.delete(f"/v1/threads/{thread}")).status_code == 200
    for run_id in (finished, waiting):
        for part in ("", "/events", "/trace"):
            gone = await http.get(f"/v1/runs/{run_id}{part}")
            assert (gone.status_code, gone.json()["error"]["code"]) == (404, "run_not_found"), part
    late = await http.post(f"/v1/runs/{waiting}/resume", json={"answers": answers})
    assert late.status_code == 404


async def test_the_trace_of_a_run_tells_it_all_while_it_waits_and_afterwards(http: httpx.AsyncClient) -> None:
    run_id, _, answers = await interrupted(http)
    waiting = (await http.get(f"/v1/runs/{run_id}/trace")).json()
    assert (waiting["status"], waiting["root"]["ended_at"]) == ("interrupted", None)
    assert [span["kind"] for span in waiting["root"]["children"]] == ["attempt", "interrupt", "interrupt"]
    await http.post(f"/v1/runs/{run_id}/resume", json={"answers": answers})
    told = (await http.get(f"/v1/runs/{run_id}/trace")).json()
    assert told["status"] == "completed"
    assert [span["kind"] for span in told["root"]["children"]] == ["attempt", "interrupt", "interrupt", "attempt"]
    assert told["root"]["children"][1]["answer"] == {"action": "approve"}
    assert told["totals"]["model_calls"] == 2
    assert told["totals"]["tool_calls"] == 2
    tree = await http.get(f"/v1/runs/{run_id}/trace", params={"format": "text"})
    assert tree.headers["content-type"].startswith("text/plain")
    assert "asked: May I send it?" in tree.text
    assert 'answered: {"action":"approve"}' in tree.text
    assert (await http.get(f"/v1/runs/{run_id}/trace", params={"format": "xml"})).status_code == 400


async def test_what_a_run_asked_and_did_outlives_its_log_in_redis(stack: Stack, tenant: Tenant) -> None:
    async with scripted_edge(stack, DORMOUSE_RUN_LOG_TTL_S="1") as bench, bench.edge.client(tenant) as http:
        run_id, before, answers = await interrupted(http)
        chat = await http.post("/v1/chat/completions", json={"model": "handing", **ask()})
        chat_id = chat.headers["x-dormouse-run-id"]
        async with asyncio.timeout(10):
            while (gone := await http.get(f"/v1/runs/{chat_id}/trace")).status_code == 200:
                await asyncio.sleep(0.1)
        assert gone.json()["error"]["code"] == "run_not_found", "what is not stored is gone with Redis' copy"
        assert parse((await http.get(f"/v1/runs/{run_id}/events")).text) == before
        assert (await http.get(f"/v1/runs/{run_id}/trace")).json()["status"] == "interrupted"
        after = parse((await http.post(f"/v1/runs/{run_id}/resume", json={"answers": answers})).text)
        assert (after[0][0], after[-1][1]) == (len(before) + 1, "run.finished")


@pytest.mark.parametrize(
    ("wishes", "status", "param"),
    [
        ({"tools": ["nothing"]}, 404, "tools[0]"),
        ({"tools": ["echo", "nothing"]}, 404, "tools[1]"),
        ({"agent": "writing", "tools": ["write", "echo"]}, 404, "tools[1]"),
        ({"tools": "echo"}, 400, "tools"),
        ({"tools": [{"name": "echo"}]}, 400, "tools[0]"),
        ({"limits": {"iterations": 0}}, 400, "limits.iterations"),
        ({"limits": {"tokens": "many"}}, 400, "limits.tokens"),
        ({"limits": [1]}, 400, "limits"),
    ],
)
async def test_wishes_that_cannot_be_met_are_refused_by_name(
    http: httpx.AsyncClient, wishes: dict[str, Any], status: int, param: str
) -> None:
    response = await http.post("/v1/runs", json={**RUN, **wishes})
    assert (response.status_code, response.json()["error"]["param"]) == (status, param), response.text


@pytest.mark.parametrize(
    ("wishes", "tools", "limits"),
    [
        ({}, None, (0, 0, 0)),
        ({"tools": []}, [], (0, 0, 0)),
        ({"tools": ["echo"], "limits": {"iterations": 3, "tokens": 500}}, ["echo"], (3, 0, 500)),
        ({"limits": {"tool_calls": 2}}, None, (0, 2, 0)),
    ],
)
async def test_wishes_reach_the_agent_from_every_protocol(
    bench: ScriptedEdge, http: httpx.AsyncClient, wishes: dict[str, Any], tools: list[str] | None, limits: Any
) -> None:
    chat: dict[str, Any] = {"model": "handing", **ask()}
    chat |= {"agent_tools" if name == "tools" else name: wish for name, wish in wishes.items()}
    agui: dict[str, Any] = {
        "threadId": str(wishes),
        "runId": "r",
        "messages": [{"id": "q", "role": "user", "content": "Hi"}],
    }
    for path, body, may_ask in (
        ("/v1/runs", {"agent": "handing", "input": ask(), **wishes}, True),
        ("/v1/chat/completions", chat, False),
        ("/v1/agents/handing/ag-ui", {**agui, "forwardedProps": {**wishes, "other": 1}}, True),
    ):
        response = await http.post(path, json=body)
        assert response.status_code == 200, response.text
        request = bench.agents.requests[-1]
        assert (list(request.tools.names) if request.HasField("tools") else None) == tools
        assert (request.limits.iterations, request.limits.tool_calls, request.limits.tokens) == limits
        assert request.can_interrupt is may_ask
