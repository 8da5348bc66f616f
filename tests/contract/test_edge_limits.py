"""Limits and the queue in front of runs, as clients meet them at one replica."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import openai
import pytest

from tests.chaos.answers import chat, events_of, question, run_body
from tests.chaos.simulation import Simulation
from tests.contract.scripted_edge import ScriptedEdge, ask, parse
from tests.stack import Edge, ModelServer, Stack

PLANS = """
plans:
  second: {requests: {models: {key: [1/s]}}}
  hour: {requests: {models: {key: [2/h]}}}
  tokens: {requests: {models: {key: [50/h]}}, tokens_per_minute: {user: 1000}}
  one: {requests: {models: {key: [50/h]}}, concurrent_runs: {user: 1}}
  low: {priority: 0, queue_share: 0.5}
"""
PER_ADDRESS = 40
CAPACITY, QUEUE = 2, 2


@dataclass(frozen=True, slots=True)
class Limited:
    """One replica with limits, behind a proxy that is trusted."""

    stack: Stack
    model_server: ModelServer
    edge: Edge

    @asynccontextmanager
    async def client(self, plan: str = "", *, address: str = "") -> AsyncIterator[httpx.AsyncClient]:
        """Of a new tenant with this plan, or of nobody; from an address of its own."""
        headers = {"x-forwarded-for": address} if address else {}
        if plan:
            headers |= (await self.stack.database.tenant(plan=plan)).headers
        async with httpx.AsyncClient(base_url=self.edge.url, headers=headers, timeout=30) as http:
            yield http


@pytest.fixture(scope="module")
async def limited(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Limited]:
    plans = tmp_path_factory.mktemp("plans") / "plans.yaml"
    plans.write_text(PLANS)
    env = {
        "DORMOUSE_PLANS": str(plans),
        "DORMOUSE_TRUSTED_PROXIES": "127.0.0.1",
        "DORMOUSE_IP_REQUESTS_PER_MINUTE": str(PER_ADDRESS),
        "DORMOUSE_RUN_CAPACITY": str(CAPACITY),
        "DORMOUSE_RUN_QUEUE": str(QUEUE),
    }
    async with stack.fleet() as fleet:
        model_server = await fleet.model_server(ttft_ms=5, token_ms=5)
        agent_fn = await fleet.agent_fn(model_server)
        yield Limited(stack, model_server, await fleet.edge(agent_fn, env=env))


async def ask_nothing(http: httpx.AsyncClient) -> httpx.Response:
    """Counted, and then refused with 400 for want of messages."""
    return await http.post("/v1/chat/completions", json={})


async def test_the_eleventh_run_of_a_minute_is_refused_in_openais_shape(limited: Limited) -> None:
    async with limited.client("free", address="203.0.113.1") as http:
        for number in range(10):
            response = await ask_nothing(http)
            assert (response.status_code, response.headers["x-ratelimit-limit-requests"]) == (400, "10")
            assert response.headers["x-ratelimit-remaining-requests"] == str(9 - number)
            assert response.headers["x-ratelimit-reset-requests"].endswith("s")
        refused = await ask_nothing(http)
        assert refused.status_code == 429
        error = refused.json()["error"]
        assert (set(error), error["type"], error["code"]) == (
            {"message", "type", "param", "code"}, "rate_limit_error", "rate_limit_exceeded",
        )  # fmt: skip
        assert "10 per minute" in error["message"]
        assert 1 <= int(refused.headers["retry-after"]) <= 6
        assert 0 < int(refused.headers["retry-after-ms"]) <= 6000
        assert (refused.headers["x-should-retry"], refused.headers["x-ratelimit-remaining-requests"]) == ("true", "0")
        assert refused.headers["x-request-id"]
        # Looking, and stopping a run, are other groups.
        assert (await http.get("/v1/models")).status_code == 200
        assert (await http.post("/v1/runs/run_000000000000000000000000/cancel")).status_code == 404


async def test_without_limits_nothing_is_said_of_them(limited: Limited) -> None:
    async with limited.client("unlimited", address="203.0.113.2") as http:
        response = await ask_nothing(http)
        assert not [name for name in response.headers if name.startswith("x-ratelimit")]


async def test_openais_sdk_comes_again_when_it_is_told_to(limited: Limited) -> None:
    sent: list[httpx.Response] = []

    async def note(response: httpx.Response) -> None:
        sent.append(response)

    tenant = await limited.stack.database.tenant(plan="second")
    headers = {"x-forwarded-for": "203.0.113.3"}
    async with httpx.AsyncClient(event_hooks={"response": [note]}) as http:
        client: Any = http
        sdk = openai.AsyncOpenAI(
            api_key=tenant.api_key, base_url=f"{limited.edge.url}/v1", http_client=client, default_headers=headers
        )
        messages: list[Any] = [question("Count to 2.")]
        for _ in range(2):
            answer = await sdk.chat.completions.create(model="chat", messages=messages)
            assert answer.choices[0].message.content == "1, 2"
        assert [response.status_code for response in sent] == [200, 429, 200]
        assert 0 < int(sent[1].headers["retry-after-ms"]) <= 1000


async def test_openais_sdk_gives_up_at_once_where_waiting_takes_too_long(limited: Limited) -> None:
    tenant = await limited.stack.database.tenant(plan="hour")
    headers = {"x-forwarded-for": "203.0.113.4"}
    async with openai.AsyncOpenAI(
        api_key=tenant.api_key, base_url=f"{limited.edge.url}/v1", max_retries=5, default_headers=headers
    ) as sdk:
        messages: list[Any] = [question("Count to 2.")]
        for _ in range(2):
            await sdk.chat.completions.create(model="chat", messages=messages)
        began = time.monotonic()
        with pytest.raises(openai.RateLimitError) as refused:
            await sdk.chat.completions.create(model="chat", messages=messages)
        assert time.monotonic() - began < 5
        assert refused.value.code == "rate_limit_exceeded"
        assert int(refused.value.response.headers["retry-after"]) > 1700


async def test_tokens_are_counted_by_an_estimate_and_then_as_they_were(limited: Limited) -> None:
    async with limited.client("tokens", address="203.0.113.5") as http:
        first = await chat(http, "Count to 9.", max_tokens=600)
        assert (first.end, first.headers["x-ratelimit-limit-tokens"]) == ("finished", "1000")
        expected = int(first.headers["x-ratelimit-remaining-tokens"])
        assert 300 < expected <= 400
        used = first.prompt_tokens + first.completion_tokens
        second = await chat(http, "Count to 9.", max_tokens=600)
        remaining = int(second.headers["x-ratelimit-remaining-tokens"])
        assert remaining == pytest.approx(expected - used, abs=60)  # time gives some back
        left_requests = int(second.headers["x-ratelimit-remaining-requests"])
        refused = await chat(http, "x" * 2700)
        assert (refused.status, refused.error) == (429, "rate_limit_exceeded")
        assert refused.headers["x-ratelimit-remaining-requests"] == str(left_requests - 1)
        third = await chat(http, "Count to 3.", max_tokens=5)
        # What was refused has taken nothing from the other window.
        assert third.headers["x-ratelimit-remaining-requests"] == str(left_requests - 1)


async def test_a_request_that_no_waiting_makes_small_enough_is_not_to_be_retried(limited: Limited) -> None:
    async with limited.client("tokens", address="203.0.113.6") as http:
        refused = await chat(http, "x" * 9000)
        assert (refused.status, refused.headers["x-should-retry"]) == (429, "false")
        assert "retry-after" not in refused.headers


async def test_an_address_is_counted_before_it_is_known_who_asks(limited: Limited) -> None:
    async with limited.client(address="203.0.113.7") as http:
        answers = await asyncio.gather(*(http.get("/v1/models") for _ in range(PER_ADDRESS + 5)))
        assert sorted(answer.status_code for answer in answers) == [401] * PER_ADDRESS + [429] * 5
        refused = await http.get("/v1/models")
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert int(refused.headers["retry-after"]) >= 1
        assert (await http.get("/healthz")).status_code == 200
    async with limited.client("unlimited", address="203.0.113.7") as http:
        assert (await http.get("/v1/models")).status_code == 429


async def test_made_up_addresses_help_nobody(limited: Limited) -> None:
    """What stands left of the proxy's own word is the client's invention; of IPv6 a subscriber has a whole /64."""
    async with limited.client() as http:
        for chain in ("{}, 203.0.113.8", "{0}, {0}, {0}, 203.0.113.9", "2001:db8:1:2:{:x}::1"):
            statuses = [
                (await http.get("/v1/models", headers={"x-forwarded-for": chain.format(number)})).status_code
                for number in range(PER_ADDRESS + 2)
            ]
            assert statuses == [401] * PER_ADDRESS + [429] * 2, chain
        many = ", ".join(f"198.51.100.{number % 250}" for number in range(3000))
        flood = [
            (await http.get("/v1/models", headers={"x-forwarded-for": f"{many}, 203.0.113.10"})).status_code
            for _ in range(PER_ADDRESS + 2)
        ]
        assert flood == [401] * PER_ADDRESS + [429] * 2


async def waiting(http: httpx.AsyncClient, text: str) -> tuple[asyncio.Task[httpx.Response], str]:
    """A background run, and its id."""
    run = (await http.post("/v1/runs", json=run_body(text, background=True))).raise_for_status().json()["id"]
    return asyncio.create_task(http.get(f"/v1/runs/{run}/events")), run


async def test_beyond_the_capacity_runs_wait_and_beyond_the_queue_they_are_refused(limited: Limited) -> None:
    async with limited.client("unlimited", address="203.0.113.11") as http, limited.model_server.control() as control:
        simulation = Simulation(control)
        await simulation.clear()
        runs = [await waiting(http, f"Count to {400 + number}.") for number in range(CAPACITY + QUEUE)]
        await simulation.wait(tokens=1, count=2, state="streaming")
        began = time.monotonic()
        refused = await chat(http, "Count to 2.")
        assert time.monotonic() - began < 2
        assert (refused.status, refused.error, refused.headers["x-should-retry"]) == (503, "overloaded", "true")
        assert 1000 <= int(refused.headers["retry-after-ms"]) <= 30_000
        states = [(await http.get(f"/v1/runs/{run}")).json()["status"] for _, run in runs]
        assert states == ["running"] * CAPACITY + ["queued"] * QUEUE
        assert len(await simulation.unfinished()) == CAPACITY
        for _, run in runs[:CAPACITY]:
            (await http.post(f"/v1/runs/{run}/cancel")).raise_for_status()
        ends = [events_of((await following).content) for following, _ in runs]
        positions = [
            [data["position"] for _, name, data in events if name == "activity" and data["kind"] == "queued"]
            for events in ends
        ]
        assert positions == [[], [], [1], [2]]
        assert [events[-1][1] for events in ends] == ["run.cancelled"] * CAPACITY + ["run.finished"] * QUEUE
        assert (await chat(http, "Count to 2.")).end == "finished"


async def test_a_run_that_is_cancelled_while_it_waits_never_reaches_a_model(limited: Limited) -> None:
    async with limited.client("unlimited", address="203.0.113.12") as http, limited.model_server.control() as control:
        simulation = Simulation(control)
        await simulation.clear()
        runs = [await waiting(http, f"Count to {300 + number}.") for number in range(CAPACITY + 1)]
        await simulation.wait(tokens=1, count=2, state="streaming")
        for _, run in reversed(runs):
            assert (await http.post(f"/v1/runs/{run}/cancel")).json()["status"] == "cancelled"
        for following, _ in runs:
            await following
        assert len(await simulation.requests()) == CAPACITY


async def test_a_plan_with_a_small_part_of_the_queue_is_refused_first(limited: Limited) -> None:
    async with (
        limited.client("low", address="203.0.113.13") as low,
        limited.client("unlimited", address="203.0.113.14") as high,
    ):
        runs = [await waiting(low, f"Count to {100 + number}.") for number in range(CAPACITY + 1)]
        assert (await low.post("/v1/runs", json=run_body("Count to 2.", background=True))).status_code == 503
        assert (await chat(high, "Count to 2.")).end == "finished"
        for following, run in runs:
            await low.post(f"/v1/runs/{run}/cancel")
            await following


async def test_runs_that_wait_for_their_thread_take_nobodys_place_in_the_queue(limited: Limited) -> None:
    async with limited.client("unlimited", address="203.0.113.17") as http:
        path = f"/v1/threads/{(await http.post('/v1/threads', json={})).json()['id']}/runs"
        runs = []
        for number in range(QUEUE + 2):
            body = run_body(f"Count to {200 + number}.", background=True, multitask_strategy="enqueue")
            runs.append((await http.post(path, json=body)).raise_for_status().json()["id"])
        assert (await chat(http, "Count to 2.")).end == "finished"
        for run in reversed(runs):
            await http.post(f"/v1/runs/{run}/cancel")


async def test_runs_at_once_are_counted_on_a_thread_too(limited: Limited) -> None:
    async with limited.client("one", address="203.0.113.15") as http:
        path = f"/v1/threads/{(await http.post('/v1/threads', json={})).json()['id']}/runs"
        first = await http.post(path, json=run_body("Count to 300.", background=True))
        second = await http.post(path, json=run_body("Count to 2.", background=True))
        assert (first.status_code, second.status_code) == (202, 429)
        assert "concurrent runs: 1 at once" in second.json()["error"]["message"]
        await http.post(f"/v1/runs/{first.json()['id']}/cancel")
        assert (await http.post(path, json=run_body("Count to 2.", background=True))).status_code == 202


async def test_a_run_that_could_not_start_has_taken_nothing(limited: Limited) -> None:
    async with limited.client("tokens", address="203.0.113.16") as http:
        path = f"/v1/threads/{(await http.post('/v1/threads', json={})).json()['id']}/runs"
        first = await http.post(path, json=run_body("Count to 300.", background=True, options={"max_tokens": 300}))
        for _ in range(5):
            busy = await http.post(path, json=run_body("Count to 2.", background=True, options={"max_tokens": 300}))
            assert (busy.status_code, busy.json()["error"]["code"]) == (409, "thread_busy")
            assert busy.headers["x-ratelimit-remaining-requests"] == "48"
        await http.post(f"/v1/runs/{first.json()['id']}/cancel")


async def test_a_run_that_waits_for_answers_holds_no_place(scripted: ScriptedEdge, stack: Stack) -> None:
    async with scripted.edge.client(await stack.database.tenant(plan="free")) as http:  # four runs at once
        asked = [await http.post("/v1/runs", json={"agent": "asking", "input": ask()}) for _ in range(6)]
        last = parse(asked[-1].text)[-1]
        assert last[1] == "run.interrupted"
        answers = {interrupt["id"]: {"action": "approve"} for interrupt in last[2]["interrupts"]}
        path = f"/v1/runs/{asked[-1].headers['x-dormouse-run-id']}/resume"
        for _ in range(2):  # said twice, it acts once
            resumed = await http.post(path, json={"answers": answers})
            assert parse(resumed.text)[-1][1] == "run.finished"
        nothing = await http.post("/v1/runs/run_000000000000000000000000/resume", json={"answers": {"x": {}}})
        assert nothing.status_code == 404
        # Six runs, one answer, and this; what was said twice started nothing and took nothing.
        assert nothing.headers["x-ratelimit-remaining-requests"] == "2"
