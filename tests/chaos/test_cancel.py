"""Whoever leaves or cancels ends the model's work within a second, in every phase and from every replica."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.chaos.answers import ag_ui, chat, follow, native, run_body, whole_chat
from tests.chaos.conftest import Tasks
from tests.chaos.platforms import Parts, open_platform
from tests.chaos.simulation import Simulation
from tests.stack import Stack, Tenant

LIMIT_S = 1.0


@pytest.fixture(scope="module")
async def parts(stack: Stack) -> AsyncIterator[Parts]:
    async with stack.fleet() as fleet:
        yield await open_platform(fleet, replicas=2)


@pytest.fixture
async def simulation(parts: Parts) -> AsyncIterator[Simulation]:
    async with parts.model_server.control() as control:
        simulation = Simulation(control)
        await simulation.set(ttft_ms=20, token_ms=20, slots=0, load_ms=0)
        await simulation.clear()
        yield simulation


QUEUED: dict[str, Any] = {"slots": 1}
LOADING: dict[str, Any] = {"load_ms": 20_000}
PREFILLING: dict[str, Any] = {"ttft_ms": 20_000}
STREAMING: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("knobs", "phase"),
    [
        (QUEUED, {"state": "queued"}),
        (LOADING, {"state": "queued,loading"}),
        (PREFILLING, {"state": "prefilling"}),
        (STREAMING, {"state": "streaming", "tokens": 5}),
    ],
    ids=["queued", "loading", "before the first token", "in mid-answer"],
)
async def test_the_model_stops_within_a_second(
    parts: Parts, simulation: Simulation, tenant: Tenant, tasks: Tasks, knobs: dict[str, Any], phase: dict[str, Any]
) -> None:
    here, there = parts.edges
    async with here.client(tenant) as http, there.client(tenant) as elsewhere:
        await simulation.unload("dormouse-dev")
        await simulation.set(**knobs)
        if knobs is QUEUED:
            await simulation.fault("hang", at_token=1)
            blocker = tasks.start(chat(http, "Count to 400."))
            await simulation.wait(state="streaming")
        leaving = [
            tasks.start(ask)
            for ask in (
                chat(http, "Count to 401."),
                whole_chat(http, "Count to 402."),
                ag_ui(http, "Count to 403."),
                native(http, "Count to 404.", on_disconnect="cancel"),
            )
        ]
        background = [await start(http, "Count to 405."), await start(http, "Count to 406.")]
        await simulation.wait(**phase, contains="Count to 40", count=len(leaving) + len(background))
        cancelled_at = time.time()
        for task in leaving:
            task.cancel()
        records = await asyncio.gather(cancel(http, background[0]), cancel(elsewhere, background[1]))
        stopped = await simulation.wait(state="aborted", count=6, timeout_s=2)
        late = {
            request["last_content"]: request["times"]["aborted"] - cancelled_at
            for request in stopped
            if request["times"]["aborted"] - cancelled_at > LIMIT_S
        }
        assert not late
        assert [record["status"] for record in records] == ["cancelled"] * 2
        for run in background:
            assert (await follow(elsewhere, run)).end == "cancelled"
        runs = (await http.get("/v1/runs", params={"limit": 10})).json()["data"]
        assert [run["status"] for run in runs] == ["cancelled"] * 4  # chats are not listed
        if knobs is QUEUED:
            blocker.cancel()
            await simulation.wait(state="aborted", count=7, timeout_s=2)
        assert not await simulation.unfinished()


async def test_a_run_that_waits_for_its_thread_is_cancelled_before_the_model_hears_of_it(
    parts: Parts, simulation: Simulation, tenant: Tenant
) -> None:
    here, there = parts.edges
    async with here.client(tenant) as http, there.client(tenant) as elsewhere:
        thread = (await http.post("/v1/threads")).json()["id"]
        path = f"/v1/threads/{thread}/runs"
        first = await start(http, "Count to 410.", path)
        waiting = await start(http, "Count to 411.", path, multitask_strategy="enqueue")
        assert (await cancel(elsewhere, waiting))["status"] == "cancelled"
        assert (await follow(http, waiting)).end == "cancelled"
        assert (await cancel(elsewhere, first))["status"] == "cancelled"
        assert len(await simulation.requests()) == 1


async def test_a_run_is_cancelled_while_its_function_or_its_model_is_away(
    parts: Parts, simulation: Simulation, tenant: Tenant
) -> None:
    here, there = parts.edges
    async with here.client(tenant) as http, there.client(tenant) as elsewhere:
        await simulation.fault("busy", times=0)
        refused = await start(http, "Count to 420.")
        await simulation.wait(state="failed", count=2)
        assert (await cancel(elsewhere, refused))["status"] == "cancelled"
        await parts.agent_fn.kill()
        try:
            cut_off = await start(http, "Count to 421.")
            assert (await cancel(elsewhere, cut_off))["status"] == "cancelled"
        finally:
            await parts.agent_fn.start()
        for run in (refused, cut_off):
            assert (await follow(http, run)).end == "cancelled"
        assert not await simulation.requests(contains="Count to 421.")


async def start(http: httpx.AsyncClient, text: str, path: str = "/v1/runs", **options: Any) -> str:
    """Starts a run in the background and returns its id."""
    response = await http.post(path, json=run_body(text, background=True, **options))
    return str(response.raise_for_status().json()["id"])


async def cancel(http: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """Cancels a run, which takes no longer than the limit."""
    async with asyncio.timeout(LIMIT_S):
        response = await http.post(f"/v1/runs/{run_id}/cancel")
    record: dict[str, Any] = response.raise_for_status().json()
    return record
