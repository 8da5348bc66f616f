"""Limits over four replicas: exact while Redis lives, hardly exceeded when it dies, freed when a replica does."""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from devstack.valkey import Valkey

from tests.chaos.answers import chat, question, run_body
from tests.chaos.conftest import Tasks
from tests.chaos.disturbance import eventually
from tests.chaos.platforms import open_platform
from tests.chaos.simulation import Simulation
from tests.stack import Edge, ModelServer, Stack, Tenant

PLANS = """
plans:
  few: {requests: {models: {key: [12/d], tenant: [100000/d]}}}
  hundred: {requests: {models: {key: [100/d], user: [5000/d]}}}
  two: {concurrent_runs: {user: 2}}
"""
JSON = {"content-type": "application/json"}
EMPTY = b"{}"
"""A body that no agent is asked about: counted, and then refused with 400."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Four replicas on a Valkey of their own. Each test leaves four of them."""

    stack: Stack
    valkey: Valkey
    model_server: ModelServer
    edges: tuple[Edge, ...]


@pytest.fixture(scope="module")
async def parts(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Parts]:
    plans: Path = tmp_path_factory.mktemp("plans") / "plans.yaml"
    plans.write_text(PLANS)  # noqa: ASYNC240 - a few bytes
    async with stack.fleet() as fleet:
        valkey = await fleet.valkey()
        env = {"DORMOUSE_PLANS": str(plans), "DORMOUSE_LEASE_S": "0.6"}
        platform = await open_platform(
            fleet, replicas=4, pace={"ttft_ms": 5, "token_ms": 20}, edge_env=env, valkey=valkey
        )
        yield Parts(stack, valkey, platform.model_server, platform.edges)


async def keys_of(parts: Parts, plan: str, count: int) -> list[Tenant]:
    tenant = await parts.stack.database.tenant(plan=plan)
    return await parts.stack.database.keys(tenant.id, tenant.user, count)


async def hammer(parts: Parts, keys: Sequence[Tenant], asks: int) -> list[Counter[int]]:
    """Every key at every replica so often, all at once; the statuses of each key's answers."""
    answers: list[Counter[int]] = [Counter() for _ in keys]

    async def ask(http: aiohttp.ClientSession, number: int) -> None:
        for _ in range(asks):
            headers = keys[number].headers | JSON
            async with http.post("/v1/chat/completions", data=EMPTY, headers=headers) as response:
                await response.read()
                answers[number][response.status] += 1

    async def all_of_them(edge: Edge) -> None:
        connector = aiohttp.TCPConnector(limit=32)
        async with aiohttp.ClientSession(edge.url, connector=connector) as http, asyncio.TaskGroup() as tasks:
            for number in range(len(keys)):
                tasks.create_task(ask(http, number))

    await asyncio.gather(*(all_of_them(edge) for edge in parts.edges))
    return answers


async def test_exactly_as_many_requests_are_admitted_as_a_key_has_whichever_replica_is_asked(parts: Parts) -> None:
    keys = await keys_of(parts, "few", 50)
    answers = await hammer(parts, keys, 5)
    assert answers == [Counter({400: 12, 429: 8})] * 50


async def counts_alone(edge: Edge, alone: bool) -> bool:
    return f"dormouse_limits_shared {0.0 if alone else 1.0}" in await edge.metrics()


async def test_redis_dies_in_the_middle_and_nothing_fails_and_hardly_more_is_admitted(parts: Parts) -> None:
    keys = await keys_of(parts, "hundred", 8)
    before = await hammer(parts, keys, 10)
    assert before == [Counter({400: 40})] * len(keys)
    hammering = asyncio.create_task(hammer(parts, keys, 5))
    await asyncio.sleep(0.05)
    await parts.valkey.process.kill()
    await asyncio.to_thread(shutil.rmtree, parts.valkey.folder / "appendonlydir")
    meanwhile = await hammering
    alone = await hammer(parts, keys, 3)
    for edge in parts.edges:
        assert await counts_alone(edge, True)
    await parts.valkey.start()
    for edge in parts.edges:
        await eventually(partial(counts_alone, edge, False))
    after = await hammer(parts, keys, 20)
    for number in range(len(keys)):
        total = before[number] + meanwhile[number] + alone[number] + after[number]
        assert set(total) <= {400, 429}
        assert 90 <= total[400] <= 110


async def test_a_run_that_ends_gives_its_place_free_at_once_however_it_ends(parts: Parts, tasks: Tasks) -> None:
    (key,) = await keys_of(parts, "two", 1)
    first, second, *_ = parts.edges
    async with first.client(key) as http, second.client(key) as elsewhere, parts.model_server.control() as control:
        simulation = Simulation(control)
        await simulation.clear()
        long = (await http.post("/v1/runs", json=run_body("Count to 900.", background=True))).json()["id"]
        for _ in range(3):  # finished: the place is free as soon as the end is seen
            assert (await chat(elsewhere, "Count to 2.")).end == "finished"
        streaming = tasks.start(chat(elsewhere, "Count to 800."))
        await simulation.wait(tokens=3, count=2, state="streaming")
        refused = await chat(http, "Count to 2.")
        assert (refused.status, refused.error) == (429, "rate_limit_exceeded")
        assert refused.headers["retry-after"] == "1"
        streaming.cancel()  # the client leaves

        async def is_admitted() -> bool:
            return (await chat(http, "Count to 2.")).end == "finished"

        await eventually(is_admitted)
        (await elsewhere.post(f"/v1/runs/{long}/cancel")).raise_for_status()
        one, two = await asyncio.gather(chat(http, "Count to 9."), chat(elsewhere, "Count to 9."))
        assert (one.end, two.end) == ("finished", "finished")


async def test_a_killed_replica_holds_no_places_but_those_of_runs_that_go_on_elsewhere(
    parts: Parts, tasks: Tasks
) -> None:
    (key,) = await keys_of(parts, "two", 1)
    victim, other, *_ = parts.edges
    async with victim.client(key) as http, other.client(key) as elsewhere, parts.model_server.control() as control:
        simulation = Simulation(control)
        await simulation.clear()
        goes_on = (await http.post("/v1/runs", json=run_body("Count to 900.", background=True))).json()["id"]
        body = {"model": "dormouse-dev", "messages": [question("Count to 800.")], "stream": True}
        tasks.start(http.post("/v1/chat/completions", json=body))
        await simulation.wait(tokens=3, count=2, state="streaming")
        assert (await chat(elsewhere, "Count to 2.")).status == 429
        await victim.kill()
        restart = tasks.start(victim.start())

        async def is_admitted() -> bool:
            return (await chat(elsewhere, "Count to 2.")).end == "finished"

        await eventually(is_admitted)
        streaming = tasks.start(chat(elsewhere, "Count to 700."))
        await simulation.wait(tokens=3, count=2, state="streaming")
        await asyncio.sleep(2.2)  # longer than the dead replica's lease of the place
        assert (await chat(elsewhere, "Count to 2.")).status == 429
        (await elsewhere.post(f"/v1/runs/{goes_on}/cancel")).raise_for_status()
        assert await is_admitted()
        streaming.cancel()
        await restart
