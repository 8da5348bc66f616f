"""Budgets and usage over the API: on every surface, however a run ends, and while Postgres is away."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.chaos.answers import MODEL, SURFACES, run_body
from tests.stack import Database, Edge, Fleet, ModelServer, Stack, Tenant

PRICES = """
currency: EUR
prices:
  - since: 2026-01-01
    models:
      dormouse-dev: {input: 2, output: 10}
      "*": {input: 1, embedding: 4}
"""


@dataclass(frozen=True, slots=True)
class Shop:
    """A platform with prices."""

    stack: Stack
    model_server: ModelServer
    edges: list[Edge]

    @property
    def edge(self) -> Edge:
        return self.edges[0]


@pytest.fixture(scope="module")
async def shop(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    prices = written(tmp_path_factory.mktemp("prices") / "prices.yaml", PRICES)
    async with stack.fleet() as fleet:
        model_server = await fleet.model_server(ttft_ms=20, token_ms=4)
        agent_fn, embed_fn = await asyncio.gather(fleet.agent_fn(model_server), fleet.embed_fn(model_server))
        env = {"DORMOUSE_PRICES": str(prices), "DORMOUSE_FILES": str(stack.database.files)}
        edges = await fleet.edges(agent_fn, 2, embed=embed_fn, env=env)
        yield Shop(stack, model_server, edges)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
async def http(shop: Shop, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with shop.edge.client(tenant) as http:
        yield http


async def usage(http: httpx.AsyncClient, requests: int, **query: Any) -> list[dict[str, Any]]:
    """The report, once it knows of so many requests."""
    async with asyncio.timeout(10):
        while True:
            page = (await http.get("/v1/usage", params=query)).raise_for_status().json()
            lines: list[dict[str, Any]] = page["data"]
            if sum(line["requests"] for line in lines) >= requests:
                return lines
            await asyncio.sleep(0.05)


async def budget(http: httpx.AsyncClient, **limits: Any) -> dict[str, Any]:
    body = {"kind": "tenant", "period": "day", **limits}
    answer: dict[str, Any] = (await http.put("/v1/budgets", json=body)).raise_for_status().json()
    return answer


async def spent(http: httpx.AsyncClient, *, reserved: int | None = 0) -> dict[str, Any]:
    """What is gone of the only budget, once so much is held back."""
    async with asyncio.timeout(15):
        while True:
            (only,) = (await http.get("/v1/budgets")).raise_for_status().json()["data"]
            found: dict[str, Any] = only["spent"]
            if reserved is None or found["reserved_tokens"] == reserved:
                return found
            await asyncio.sleep(0.05)


async def test_every_surface_is_charged_what_it_has_told(http: httpx.AsyncClient) -> None:
    answers = [await ask(http, "Count to 12.") for ask in SURFACES.values()]
    lines = await usage(http, len(answers), group_by=["model", "agent", "work"])
    (line,) = lines
    assert (line["model"], line["agent"], line["work"]) == (f"{MODEL}:latest", "chat", "run")
    told = (sum(answer.prompt_tokens for answer in answers), sum(answer.completion_tokens for answer in answers))
    assert (line["prompt_tokens"], line["completion_tokens"]) == told
    assert line["money"] == pytest.approx((line["prompt_tokens"] * 2 + line["completion_tokens"] * 10) / 1e6)


async def test_embeddings_are_charged_by_their_tokens(http: httpx.AsyncClient) -> None:
    await budget(http, tokens=100_000)
    answer = await http.post("/v1/embeddings", json={"model": "dormouse-dev-embed", "input": ["one", "two three"]})
    tokens = answer.raise_for_status().json()["usage"]["total_tokens"]
    (line,) = await usage(http, 1, group_by=["work"])
    assert (line["work"], line["prompt_tokens"], line["total_tokens"]) == ("embedding", tokens, tokens)
    assert line["money"] == pytest.approx(tokens * 4 / 1e6)
    assert (await spent(http))["tokens"] == tokens


async def test_files_and_searches_are_charged_what_their_models_read(http: httpx.AsyncClient) -> None:
    text = "Dormice sleep for seven months. They eat acorns and beech nuts.\n\nBadgers dig setts."
    file = (await http.post("/v1/files", files={"file": ("mice.txt", text.encode())})).raise_for_status().json()
    await http.get(f"/v1/files/{file['id']}/events")
    lines = await usage(http, 1, group_by=["work"])
    assert [line["work"] for line in lines] == ["ingestion"]
    assert lines[0]["prompt_tokens"] > 10
    for mode in ("fast", "deep"):
        await http.post("/v1/search", json={"query": "What do dormice eat?", "mode": mode})
    lines = await usage(http, 3, group_by=["work", "model"])
    read = {line["model"]: line for line in lines if line["work"] == "search"}
    assert len(read) == 2, lines  # one embeds, the other rewrites and grades
    assert sum(line["requests"] for line in read.values()) == 2
    assert sum(line["completion_tokens"] for line in read.values()) > 0


async def test_a_budget_that_is_used_up_refuses_on_every_surface(http: httpx.AsyncClient) -> None:
    made = await budget(http, tokens=1)
    assert (await SURFACES["chat"](http, "Count to 3.")).end == "finished"
    await spent(http)
    for name, ask in SURFACES.items():
        answer = await ask(http, "Count to 3.")
        assert (answer.status, answer.error) == (429, "insufficient_quota"), name
    refused = await http.post("/v1/embeddings", json={"model": "dormouse-dev-embed", "input": "one"})
    assert refused.status_code == 429
    others = (
        await http.post("/v1/search", json={"query": "mice"}),
        await http.post("/v1/files", files={"file": ("mice.txt", b"Mice.")}),
    )
    assert [other.status_code for other in others] == [429, 429]
    error = refused.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("insufficient_quota", "insufficient_quota", None)
    assert "1 tokens a day" in error["message"]
    assert 0 < int(refused.headers["retry-after"]) <= 24 * 3600
    assert refused.headers["x-should-retry"] == "false"
    await http.delete(f"/v1/budgets/{made['id']}")
    assert (await SURFACES["chat"](http, "Count to 3.")).end == "finished"


async def test_many_that_race_at_two_replicas_overspend_by_one_reservation(shop: Shop, tenant: Tenant) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Count to 900."}], "max_tokens": 90}
    reservation = 90 + 8 + len("Count to 900.") // 3
    async with shop.edges[0].client(tenant) as http, shop.edges[1].client(tenant) as other:
        await budget(http, tokens=900)
        answers = await asyncio.gather(
            *((http, other)[number % 2].post("/v1/chat/completions", json=body) for number in range(40))
        )
        admitted = [answer.json()["usage"] for answer in answers if answer.status_code == 200]
        assert {answer.status_code for answer in answers} == {200, 429}
        assert {used["completion_tokens"] for used in admitted} == {90}
        gone = await spent(http)
        (line,) = await usage(http, len(admitted))
        assert gone["tokens"] == line["total_tokens"] == sum(used["total_tokens"] for used in admitted)
        assert 900 - reservation <= gone["tokens"] < 900 + reservation


async def test_whoever_leaves_or_cancels_is_charged_what_was_sent(shop: Shop, http: httpx.AsyncClient) -> None:
    await budget(http, tokens=1_000_000)
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Count to 900."}], "stream": True}
    async with http.stream("POST", "/v1/chat/completions", json=body) as response:
        chunks = 0
        async for text in response.aiter_lines():
            chunks += text.startswith("data:")
            if chunks > 20:
                break
    (line,) = await usage(http, 1)
    assert 18 <= line["completion_tokens"] < 900
    assert line["prompt_tokens"] > 0
    run = (await http.post("/v1/runs", json={**run_body("Count to 901."), "background": True})).json()["id"]
    assert (await spent(http, reserved=None))["reserved_tokens"] > 0
    await asyncio.sleep(0.2)
    await http.post(f"/v1/runs/{run}/cancel")
    await usage(http, 2)
    gone = await spent(http)
    assert gone["tokens"] == sum(line["total_tokens"] for line in await usage(http, 2))


async def test_a_failed_run_frees_what_was_held_back(shop: Shop, http: httpx.AsyncClient) -> None:
    await budget(http, tokens=1_000_000)
    assert (await http.post("/v1/runs", json=run_body("Hello.", model="nope"))).status_code == 404
    thread = (await http.post("/v1/threads")).json()["id"]
    first = (
        await http.post(f"/v1/threads/{thread}/runs", json={**run_body("Count to 900."), "background": True})
    ).json()
    busy = await http.post(f"/v1/threads/{thread}/runs", json=run_body("Hello."))
    assert busy.status_code == 409
    await http.post(f"/v1/runs/{first['id']}/cancel")
    await spent(http, reserved=0)


async def test_members_see_what_they_have_used_and_admins_all(shop: Shop, tenant: Tenant) -> None:
    member = await another_user(shop.stack, tenant)
    async with shop.edge.client(tenant) as admin, shop.edge.client(member) as http:
        await SURFACES["chat"](admin, "Count to 3.")
        await SURFACES["chat"](http, "Count to 4.")
        (mine,) = await usage(http, 1, group_by=["user"])
        assert mine["user"] == member.user
        assert mine["requests"] == 1
        assert (await http.get("/v1/usage", params={"user": tenant.user})).json()["data"] == []
        assert len(await usage(admin, 2, group_by=["user", "key"])) == 2
        assert (await http.get("/v1/budgets")).status_code == 403
        assert (await http.put("/v1/budgets", json={"kind": "tenant", "period": "day", "tokens": 1})).status_code == 403


async def test_a_report_comes_in_pages_and_as_a_table(http: httpx.AsyncClient) -> None:
    for number in range(3):
        await SURFACES["chat"](http, f"Count to {number + 2}.")
    await usage(http, 3)
    page = (await http.get("/v1/usage", params={"group_by": ["day", "agent"], "limit": 1})).json()
    assert (len(page["data"]), page["has_more"], page["next_page"]) == (1, False, None)
    table = await http.get("/v1/usage", params={"group_by": ["day", "model"], "format": "csv"})
    assert table.headers["content-type"].startswith("text/csv")
    head, line = table.text.split("\r\n")[:2]
    assert head.split(",")[:4] == ["day", "model", "requests", "prompt_tokens"]
    assert line.split(",")[1:3] == [f"{MODEL}:latest", "3"]
    for wrong in ({"start": "2026-02-30"}, {"group_by": "nonsense"}, {"start": "2020-01-01"}, {"page": "x"}):
        assert (await http.get("/v1/usage", params=wrong)).status_code == 400


async def test_a_budget_is_set_changed_listed_and_deleted(shop: Shop, http: httpx.AsyncClient) -> None:
    made = await budget(http, tokens=10, money=2.5)
    changed = await budget(http, money=3)
    assert (changed["id"], changed["tokens"], changed["money"]) == (made["id"], None, 3.0)
    await budget(http, kind="user", subject="*", period="month", tokens=7)
    listed = (await http.get("/v1/budgets")).json()["data"]
    assert [(it["kind"], it["subject"], it["period"]) for it in listed] == [
        ("tenant", None, "day"),
        ("user", "*", "month"),
    ]
    assert listed[0]["currency"] == "EUR"
    other = await shop.stack.database.tenant()
    async with shop.edge.client(other) as stranger:
        assert (await stranger.get("/v1/budgets")).json()["data"] == []
        assert (await stranger.delete(f"/v1/budgets/{made['id']}")).status_code == 404
    assert (await http.delete(f"/v1/budgets/{made['id']}")).json()["deleted"]
    assert (await http.delete(f"/v1/budgets/{made['id']}")).status_code == 404
    for wrong in (
        {"kind": "tenant", "period": "day"},
        {"kind": "user", "period": "day", "tokens": 1},
        {"kind": "tenant", "subject": "x", "period": "day", "tokens": 1},
        {"kind": "tenant", "period": "year", "tokens": 1},
        {"kind": "tenant", "period": "day", "tokens": -1},
    ):
        assert (await http.put("/v1/budgets", json=wrong)).status_code == 400


async def test_while_postgres_is_away_budgets_fail_closed_and_others_run_on(fleet: Fleet) -> None:
    database = await fleet.postgres()
    model_server = await fleet.model_server(ttft_ms=5, token_ms=1)
    agent_fn = await fleet.agent_fn(model_server, database=database)
    edge = await fleet.edge(agent_fn, database=database, valkey=await fleet.valkey())
    bounded, free = await database.tenant(), await database.tenant()
    async with edge.client(bounded) as http, edge.client(free) as other:
        await budget(http, tokens=1_000_000)
        for client in (http, other):
            assert (await SURFACES["chat"](client, "Count to 3.")).end == "finished"
        await usage(other, 1)
        await database.stop()
        refused = await http.post(
            "/v1/chat/completions", json={"model": MODEL, "messages": [{"role": "user", "content": "Count to 4."}]}
        )
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "budget_unavailable"
        assert int(refused.headers["retry-after"]) > 0
        answers = [await SURFACES["chat"](other, "Count to 5.") for _ in range(3)]
        assert [answer.end for answer in answers] == ["finished"] * 3
        await database.resume()
        (line,) = await usage_again(other, 4)
        assert line["requests"] == 4
        assert (await SURFACES["chat"](http, "Count to 3.")).end == "finished"


async def usage_again(http: httpx.AsyncClient, requests: int) -> list[dict[str, Any]]:
    """The report of a platform whose Postgres is coming back."""
    async with asyncio.timeout(20):
        while True:
            answer = await http.get("/v1/usage")
            if answer.status_code == 200:
                return await usage(http, requests)
            await asyncio.sleep(0.1)


async def another_user(stack: Stack, tenant: Tenant) -> Tenant:
    """A member of the tenant, with a key."""
    return await member_of(stack.database, tenant)


async def member_of(database: Database, tenant: Tenant) -> Tenant:
    other = await database.tenant()
    user = f"u-{secrets.token_hex(4)}"
    async with await psycopg.AsyncConnection.connect(database.owner_url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [other.id])
        cursor = await connection.execute("select id, mac, prefix from api_keys where tenant_id = %s", [other.id])
        row = await cursor.fetchone()
        assert row is not None
        await connection.execute("delete from api_keys where tenant_id = %s", [other.id])
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant.id])
        await connection.execute(
            "insert into api_keys (id, tenant_id, user_id, name, prefix, mac, role)"
            " values (%s, %s, %s, 'member', %s, %s, 'member')",
            [row[0], tenant.id, user, row[2], row[1]],
        )
    return Tenant(tenant.id, user, other.api_key)
