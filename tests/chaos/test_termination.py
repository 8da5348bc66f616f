"""SIGTERM under load, as in a rollout: no admitted run fails."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from tests.chaos.answers import SURFACES, Answer, Ask, ag_ui, chat, follow, native, run_body, whole_chat
from tests.chaos.conftest import Tasks
from tests.chaos.platforms import Parts, open_platform
from tests.chaos.simulation import Simulation
from tests.chaos.test_edge_death import Reader
from tests.stack import Fleet, Stack, Tenant

STREAMS = 48
PACE = {"ttft_ms": 20, "token_ms": 15}
DRAIN = {"DORMOUSE_DRAIN_S": "1.5"}


@pytest.fixture(scope="module")
async def parts(stack: Stack) -> AsyncIterator[Parts]:
    async with stack.fleet() as fleet:
        yield await open_platform(fleet, pace=PACE, agent_env=DRAIN)


def open_streams(
    tasks: Tasks,
    http: httpx.AsyncClient,
    count: int,
    *,
    first: int = 60,
    asks: Sequence[Ask] = tuple(SURFACES.values()),
) -> list[asyncio.Task[Answer]]:
    """Asks for as many answers, each of another length, on all surfaces in turn."""
    return [tasks.start(asks[n % len(asks)](http, f"Count to {first + n}.")) for n in range(count)]


def check_counts(answers: Sequence[Answer], first: int = 60) -> None:
    """They are whole."""
    for number, answer in enumerate(answers):
        counted = ", ".join(str(n) for n in range(1, first + number + 1))
        assert (answer.end, answer.text) == ("finished", counted), f"{answer.surface}: {answer.error}"
        assert answer.completion_tokens == first + number


async def test_the_model_server_is_replaced_under_load_and_no_answer_is_lost(
    parts: Parts, tenant: Tenant, tasks: Tasks
) -> None:
    async with parts.edge.client(tenant) as http, parts.model_server.control() as control:
        streams = open_streams(tasks, http, STREAMS)
        await Simulation(control).wait(tokens=5, count=STREAMS)
        await parts.model_server.terminate()
        late = open_streams(tasks, http, len(SURFACES))
        await parts.model_server.start()
        check_counts(await asyncio.gather(*streams))
        check_counts(await asyncio.gather(*late))


async def test_agent_fn_is_replaced_under_load_and_no_answer_is_lost(
    parts: Parts, tenant: Tenant, tasks: Tasks
) -> None:
    old = parts.agent_fn
    async with parts.edge.client(tenant) as http, parts.model_server.control() as control:
        simulation = Simulation(control)
        await simulation.clear()
        # Between 0.9 and 1.6 s: some end within the grace, the others are handed on.
        streams = open_streams(tasks, http, STREAMS)
        await simulation.wait(tokens=5, count=STREAMS)
        leaving = tasks.start(old.terminate())
        coming = tasks.start(parts.fleet.agent_fn(parts.model_server, env=DRAIN, address=old.address))
        # Those who come in the meantime wait for the new one.
        late = open_streams(tasks, http, len(SURFACES))
        check_counts(await asyncio.gather(*streams))
        check_counts(await asyncio.gather(*late))
        assert await leaving == 0
        await coming


async def test_an_edge_replica_ends_its_streams_and_leaves_its_other_runs_to_the_next(
    fleet: Fleet, tenant: Tenant, tasks: Tasks
) -> None:
    valkey = await fleet.valkey()
    parts = await open_platform(fleet, replicas=2, pace=PACE, edge_env={"DORMOUSE_DRAIN_S": "2.5"}, valkey=valkey)
    leaving, staying = parts.edges
    async with leaving.client(tenant) as http, staying.client(tenant) as other, parts.model_server.control() as control:
        streams = open_streams(tasks, http, STREAMS, asks=(native, ag_ui, chat, whole_chat))  # one request each
        long = run_body("Count to 220.")
        unwatched = [(await http.post("/v1/runs", json={**long, "background": True})).json()["id"] for _ in range(4)]
        patient = Reader()
        reading = tasks.start(patient.start(http, "/v1/runs", long))
        await Simulation(control).wait(tokens=5, count=STREAMS + 5)
        started = time.monotonic()
        ending = tasks.start(leaving.terminate())
        check_counts(await asyncio.gather(*streams))
        assert await ending == 0
        assert time.monotonic() - started < 5
        with pytest.raises(httpx.ConnectError):
            await http.get("/healthz")
        # What takes longer than the grace goes on at the other replica, and so does its client.
        await reading
        assert not patient.has_ended
        async with asyncio.timeout(4):  # they were given up, not just left: nobody has to wait for a lease
            await patient.resume(other)
            left = [patient.answer(), *[await follow(other, run) for run in unwatched]]
        assert {(answer.end, answer.completion_tokens) for answer in left} == {("finished", 220)}
        assert len({answer.text for answer in left}) == 1
        for run in (patient.run_id, *unwatched):
            assert (await other.get(f"/v1/runs/{run}")).json()["status"] == "completed"
