"""Requests with an `Idempotency-Key`, sent again: to any replica, at the same time, after a death."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import httpx
import psycopg
import pytest
from dormouse_runtime.identity import TokenVerifier

from tests.contract.embed_service import ScriptedDocuments, serving_documents
from tests.stack import AgentFn, Edge, ModelServer, Stack, Tenant

REPLAYED = "idempotent-replayed"


class Replicas:
    """Some edges that share everything, a model server that can be watched, and who asks."""

    def __init__(self, stack: Stack, model_server: ModelServer, agent_fn: AgentFn, edges: list[Edge]) -> None:
        self.stack = stack
        self.model_server = model_server
        self.agent_fn = agent_fn
        self.edges = edges

    async def calls(self) -> int:
        """Chats that the model server was asked for so far."""
        async with self.model_server.control() as control:
            return len((await control.get("/_sim/requests")).json()["requests"])

    async def count(self, tenant: Tenant, table: str) -> int:
        async with await psycopg.AsyncConnection.connect(self.stack.database.url) as connection:
            await connection.execute("select set_config('dormouse.tenant', %s, false)", [tenant.id])
            row = await (await connection.execute(f"select count(*) from {table}".encode())).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture(scope="module")
async def replicas(stack: Stack) -> AsyncIterator[Replicas]:
    documents = ScriptedDocuments(TokenVerifier.from_file(stack.credentials.trusted_keys, "embed_fn"))
    async with serving_documents(documents) as embed_fn, stack.fleet() as fleet:
        model_server = await fleet.model_server(ttft_ms=30, token_ms=8)
        agent_fn = await fleet.agent_fn(model_server)
        files = {"DORMOUSE_FILES": str(stack.database.files), "DORMOUSE_LEASE_S": "0.5"}
        edges = await fleet.edges(agent_fn, 2, embed=embed_fn, env=files, valkey=await fleet.valkey())
        yield Replicas(stack, model_server, agent_fn, edges)


def key(text: str = "") -> dict[str, str]:
    return {"idempotency-key": text or secrets.token_hex(8)}


def chat(text: str, **options: Any) -> dict[str, Any]:
    return {"model": "dormouse-dev", "messages": [{"role": "user", "content": text}], **options}


def run(text: str, **options: Any) -> dict[str, Any]:
    return {
        "agent": "chat",
        "model": "dormouse-dev",
        "input": {"messages": [{"role": "user", "content": text}]},
        **options,
    }


def said(response: httpx.Response) -> bytes:
    """The answer without the comments that keep a silent stream open."""
    return b"\n\n".join(part for part in response.content.split(b"\n\n") if not part.startswith(b":"))


async def post(edge: Edge, tenant: Tenant, path: str, body: Any, headers: Mapping[str, str]) -> httpx.Response:
    async with edge.client(tenant, timeout=60) as http:
        return await http.post(path, json=body, headers=headers)


async def test_what_was_created_is_created_once_and_told_again_everywhere(replicas: Replicas, tenant: Tenant) -> None:
    sent = key()
    answers = [
        await post(edge, tenant, "/v1/threads", {"metadata": {"topic": "mice"}}, sent) for edge in replicas.edges
    ]
    assert [answer.status_code for answer in answers] == [201] * 2
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert [answer.headers.get(REPLAYED) for answer in answers] == [None, "true"]
    assert await replicas.count(tenant, "threads") == 1


async def test_a_hundred_that_race_are_one_run_and_get_the_same_bytes(replicas: Replicas, tenant: Tenant) -> None:
    before, sent = await replicas.calls(), key()
    body = chat("Count to 20.")
    answers = await race(replicas, tenant, body, sent, 100)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sum(REPLAYED not in answer.headers for answer in answers) == 1
    assert await replicas.calls() - before == 1
    assert await replicas.count(tenant, "runs") == 1


async def test_a_stream_is_replayed_from_the_log_of_its_run(replicas: Replicas, tenant: Tenant) -> None:
    before, sent = await replicas.calls(), key()
    body = chat("Count to 30.", stream=True, stream_options={"include_usage": True})
    answers = await race(replicas, tenant, body, sent, 12)
    answers.append(await post(replicas.edges[1], tenant, "/v1/chat/completions", body, sent))
    assert len({said(answer) for answer in answers}) == 1
    assert said(answers[0]).endswith(b"data: [DONE]\n\n")
    assert len({answer.headers["x-dormouse-run-id"] for answer in answers}) == 1
    assert await replicas.calls() - before == 1


async def test_other_surfaces_run_once_too(replicas: Replicas, tenant: Tenant) -> None:
    first, second = replicas.edges[:2]
    thread = (await post(first, tenant, "/v1/threads", {}, {})).json()["id"]
    front_end = {"threadId": "t", "runId": "r", "messages": [{"id": "q", "role": "user", "content": "Count to 6."}]}
    before = await replicas.calls()
    for path, body in (
        ("/v1/runs", run("Count to 6.")),
        (f"/v1/threads/{thread}/runs", run("Count to 7.")),
        ("/v1/agents/chat/ag-ui", {**front_end, "forwardedProps": {"model": "dormouse-dev"}}),
    ):
        sent = key()
        once, again = [await post(edge, tenant, path, body, sent) for edge in (first, second)]
        assert (once.status_code, again.status_code) == (200, 200), again.text
        assert said(again) == said(once), path
        assert again.headers[REPLAYED] == "true"
    assert await replicas.calls() - before == 3


async def test_a_run_in_the_background_is_told_as_it_was_when_it_began(replicas: Replicas, tenant: Tenant) -> None:
    first, second = replicas.edges[:2]
    sent, body = key(), run("Count to 5.", background=True)
    once = await post(first, tenant, "/v1/runs", body, sent)
    async with first.client(tenant) as http:
        await http.get(f"/v1/runs/{once.json()['id']}/events")
    again = await post(second, tenant, "/v1/runs", body, sent)
    assert (once.status_code, again.status_code) == (202, 202)
    assert again.content == once.content
    assert await replicas.count(tenant, "runs") == 1


async def test_the_key_of_another_request_is_refused(replicas: Replicas, tenant: Tenant) -> None:
    edge, sent = replicas.edges[0], key()
    await post(edge, tenant, "/v1/threads", {"metadata": {"a": "1", "b": "2"}}, sent)
    same = await post(edge, tenant, "/v1/threads", {"metadata": {"b": "2", "a": "1"}}, sent)
    assert (same.status_code, same.headers.get(REPLAYED)) == (201, "true")
    for path, body in (
        ("/v1/threads", {"metadata": {"a": "2"}}),
        ("/v1/threads?x=1", {"metadata": {"a": "1", "b": "2"}}),
        ("/v1/runs", run("Hello.")),
    ):
        refused = await post(edge, tenant, path, body, sent)
        assert refused.status_code == 422, refused.text
        assert refused.json()["error"]["code"] == "idempotency_key_reused"


@pytest.mark.parametrize("text", ["", "a b", "\u00fc".encode(), "x" * 256])
async def test_a_key_that_is_none_is_refused(replicas: Replicas, tenant: Tenant, text: str | bytes) -> None:
    async with replicas.edges[0].client(tenant) as http:
        headers = [(b"idempotency-key", text if isinstance(text, bytes) else text.encode())]
        refused = await http.post("/v1/threads", json={}, headers=headers)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "Idempotency-Key"


async def test_a_key_is_its_callers_own(replicas: Replicas, tenant: Tenant) -> None:
    other, sent = await replicas.stack.database.tenant(), key()
    mine = await post(replicas.edges[0], tenant, "/v1/threads", {}, sent)
    theirs = await post(replicas.edges[0], other, "/v1/threads", {"metadata": {"x": "y"}}, sent)
    assert theirs.status_code == 201
    assert mine.json()["id"] != theirs.json()["id"]


async def test_refusals_and_failures_are_not_kept(replicas: Replicas, tenant: Tenant) -> None:
    edge, sent = replicas.edges[0], key()
    refused = await post(edge, tenant, "/v1/chat/completions", chat("Count to 3.", temperature=9), sent)
    assert refused.status_code == 400
    answered = await post(edge, tenant, "/v1/chat/completions", chat("Count to 3."), sent)
    assert answered.status_code == 200
    assert REPLAYED not in answered.headers
    sent, body = key(), chat("Count to 500.")
    cancelled = asyncio.create_task(post(edge, tenant, "/v1/chat/completions", body, sent))
    run_id = await running(edge, tenant)
    async with edge.client(tenant) as http:
        await http.post(f"/v1/runs/{run_id}/cancel")
        assert (await cancelled).status_code == 409
        again = asyncio.create_task(post(edge, tenant, "/v1/chat/completions", body, sent))
        other = await running(edge, tenant)
        assert other != run_id
        await http.post(f"/v1/runs/{other}/cancel")
        await again


async def test_a_client_that_left_finds_its_answer(replicas: Replicas, tenant: Tenant) -> None:
    first, second = replicas.edges[:2]
    before, sent = await replicas.calls(), key()
    body = chat("Count to 40.", stream=True)
    async with (
        first.client(tenant) as http,
        http.stream("POST", "/v1/chat/completions", json=body, headers=sent) as response,
    ):
        async for data in response.aiter_bytes():
            if b"content" in data:
                break
    again = await post(second, tenant, "/v1/chat/completions", body, sent)
    assert b"40" in again.content
    assert again.content.endswith(b"data: [DONE]\n\n")
    whole = chat("Count to 41.")
    sent = key()
    with pytest.raises(httpx.ReadTimeout):
        async with first.client(tenant, timeout=0.2) as http:
            await http.post("/v1/chat/completions", json=whole, headers=sent)
    again = await post(second, tenant, "/v1/chat/completions", whole, sent)
    assert again.json()["choices"][0]["message"]["content"].endswith("41")
    assert await replicas.calls() - before == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_whose_replica_dies_is_answered_by_the_same_run(
    replicas: Replicas, tenant: Tenant, stream: bool
) -> None:
    victim, other = replicas.edges[0], replicas.edges[1]
    sent, body = key(), chat("Count to 60.", stream=stream)

    async def cut_off() -> None:
        with pytest.raises(httpx.TransportError):
            await post(victim, tenant, "/v1/chat/completions", body, sent)

    first = asyncio.create_task(cut_off())
    run_id = await running(other, tenant)
    async with other.client(tenant) as http, http.stream("GET", f"/v1/runs/{run_id}/events") as events:
        async for line in events.aiter_lines():
            if line.startswith("event: message.delta"):
                break
    waiting = [asyncio.create_task(post(other, tenant, "/v1/chat/completions", body, sent)) for _ in range(3)]
    await victim.kill()
    await first
    try:
        answers = await asyncio.gather(*waiting)
    finally:
        await victim.restart()
    answers.append(await post(victim, tenant, "/v1/chat/completions", body, sent))
    assert {answer.status_code for answer in answers} == {200}, [answer.text[:300] for answer in answers]
    assert len({said(answer) for answer in answers}) == 1
    assert b"59, 60" in b"".join(part for part in answers[0].content.split(b'"') if b"6" in part) or stream
    assert {answer.headers["x-dormouse-run-id"] for answer in answers} == {run_id}
    assert await replicas.count(tenant, "runs") == 1


async def test_what_a_dead_replica_left_half_done_is_not_done_again(replicas: Replicas, tenant: Tenant) -> None:
    edge, sent = replicas.edges[0], key()
    await post(edge, tenant, "/v1/threads", {}, sent)
    await lapse(replicas.stack, tenant)
    refused = await post(edge, tenant, "/v1/threads", {}, sent)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "idempotency_outcome_unknown")
    assert await replicas.count(tenant, "threads") == 1
    sent, body = key(), chat("Count to 3.")
    once = await post(edge, tenant, "/v1/chat/completions", body, sent)
    await lapse(replicas.stack, tenant)
    again = await post(edge, tenant, "/v1/chat/completions", body, sent)
    assert again.content == once.content
    assert await replicas.count(tenant, "runs") == 1


async def test_a_file_is_known_by_what_is_in_its_form(replicas: Replicas, tenant: Tenant) -> None:
    sent = key()

    async def upload(edge: Edge, text: bytes) -> httpx.Response:
        async with edge.client(tenant) as http:
            form = {"file": ("mice.txt", text)}
            return await http.post("/v1/files", files=form, data={"purpose": "assistants"}, headers=sent)

    once, again = [await upload(edge, b"Mice sleep.") for edge in replicas.edges]
    assert (once.status_code, again.status_code) == (201, 201), again.text
    assert again.content == once.content
    other = await upload(replicas.edges[1], b"Mice eat.")
    assert other.status_code == 422


async def test_a_secret_that_was_shown_once_is_not_readable_in_the_database(replicas: Replicas, tenant: Tenant) -> None:
    sent, body = key(), {"name": "ci"}
    once, again = [await post(edge, tenant, "/v1/keys", body, sent) for edge in replicas.edges[:2]]
    assert once.status_code == 201, once.text
    assert again.content == once.content
    async with await psycopg.AsyncConnection.connect(replicas.stack.database.url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, false)", [tenant.id])
        cursor = await connection.execute("select digest, fingerprint, answer from kept_requests")
        (row,) = await cursor.fetchall()
    kept = b"".join(bytes(value) for value in row)
    assert b"dm_live_" not in kept
    assert sent["idempotency-key"].encode() not in kept


async def race(
    replicas: Replicas, tenant: Tenant, body: Any, headers: Mapping[str, str], count: int
) -> list[httpx.Response]:
    """The same chat, so often at once, over all replicas."""
    limits = httpx.Limits(max_connections=count)
    async with AsyncExitStack() as exits:
        clients = [
            await exits.enter_async_context(edge.client(tenant, timeout=60, limits=limits)) for edge in replicas.edges
        ]
        asked = (
            clients[number % len(clients)].post("/v1/chat/completions", json=body, headers=headers)
            for number in range(count)
        )
        return list(await asyncio.gather(*asked))


async def running(edge: Edge, tenant: Tenant) -> str:
    """The id of the run that goes on."""
    async with edge.client(tenant) as http, asyncio.timeout(10):
        while True:
            runs = (await http.get("/v1/runs", params={"status": "running"})).json()["data"]
            if runs:
                run_id: str = runs[0]["id"]
                return run_id
            await asyncio.sleep(0.02)


async def lapse(stack: Stack, tenant: Tenant) -> None:
    """As if the replica had died before the answers were kept."""
    async with await psycopg.AsyncConnection.connect(stack.database.url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, false)", [tenant.id])
        await connection.execute(
            "update kept_requests set state = 'claimed', answer = null, held_until = now() - interval '1 second'"
        )
