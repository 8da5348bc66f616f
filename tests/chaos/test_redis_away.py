"""Valkey stops, dies, freezes or forgets: answers stream all the same, say that they cannot be resumed, and heal."""

import asyncio
import shutil
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import pytest
from devstack.valkey import Valkey

from tests.chaos.answers import SURFACES, follow, native, run_body
from tests.chaos.conftest import Tasks
from tests.chaos.disturbance import eventually
from tests.chaos.platforms import open_platform
from tests.chaos.simulation import Simulation
from tests.stack import AgentFn, Edge, Fleet, ModelServer, Stack, Tenant

RESUME_OFF = "dormouse_resume_available 0.0"
RESUME_ON = "dormouse_resume_available 1.0"


@dataclass(frozen=True, slots=True)
class Parts:
    """Two replicas on a Valkey of their own. Each test leaves it as it was."""

    valkey: Valkey
    model_server: ModelServer
    agent_fn: AgentFn
    first: Edge
    second: Edge


@pytest.fixture(scope="module")
async def parts(stack: Stack) -> AsyncIterator[Parts]:
    async with stack.fleet() as fleet:
        valkey = await fleet.valkey()
        parts = await open_platform(fleet, replicas=2, pace={"ttft_ms": 20, "token_ms": 10}, valkey=valkey)
        yield Parts(valkey, parts.model_server, parts.agent_fn, *parts.edges)


async def stopped(valkey: Valkey) -> None:
    await valkey.stop()


async def killed(valkey: Valkey) -> None:
    """It loses everything, too."""
    await valkey.process.kill()
    await asyncio.to_thread(shutil.rmtree, valkey.folder / "appendonlydir")


async def frozen(valkey: Valkey) -> None:
    valkey.process.send(signal.SIGSTOP)


@pytest.mark.parametrize("away", [stopped, killed, frozen])
async def test_answers_stream_without_valkey_and_can_be_resumed_once_it_is_back(
    fleet: Fleet, parts: Parts, tenant: Tenant, tasks: Tasks, away: Callable[[Valkey], Awaitable[None]]
) -> None:
    valkey, first = parts.valkey, parts.first
    async with first.client(tenant) as http, parts.model_server.control() as control:
        simulation = Simulation(control)
        await simulation.clear()
        before, unstored = await native(http, "Count to 5."), await SURFACES["chat"](http, "Count to 5.")
        begun = [tasks.start(ask(http, "Count to 60.")) for ask in SURFACES.values()]
        await simulation.wait(tokens=15, count=len(begun))
        await away(valkey)
        lost = time.monotonic()
        answers = await asyncio.gather(*begun)
        assert [(answer.end, answer.completion_tokens) for answer in answers] == [("finished", 60)] * len(answers)
        assert {answer.text[-6:] for answer in answers} == {"59, 60"}
        assert time.monotonic() - lost < 3
        # What has opened before says so no more; what is answered whole knows it in time.
        off = [answer.surface for answer in answers if answer.headers.get("x-dormouse-resume") == "off"]
        assert off == ["whole_chat"]
        assert RESUME_OFF in await first.metrics()
        second = await fleet.edge(parts.agent_fn, valkey=valkey)
        async with second.client(tenant) as elsewhere:
            for client in (http, elsewhere):
                async with asyncio.timeout(3):
                    without = await asyncio.gather(*(ask(client, "Count to 9.") for ask in SURFACES.values()))
                assert {(answer.end, answer.text) for answer in without} == {("finished", "1, 2, 3, 4, 5, 6, 7, 8, 9")}
                assert {answer.headers.get("x-dormouse-resume") for answer in without} == {"off"}
            assert RESUME_OFF in await second.metrics()
            ready = await http.get("/readyz")
            assert (ready.status_code, ready.json()["components"]["redis"]["status"]) == (200, "degraded")
            # Of what is not stored only the replica that executes it knows now; the other says so.
            runs = dict(zip(SURFACES, without, strict=True))
            refused = await follow(http, runs["chat"].run_id)
            assert (refused.status, refused.error) == (503, "cache_unavailable")
            assert (await follow(http, runs["native"].run_id)).said == runs["native"].said
            await back(valkey)
            for edge in (first, second):
                await eventually(partial(says, edge, RESUME_ON))
            for client in (http, elsewhere):
                for run in (answers[0], without[0]):
                    assert (await follow(client, run.run_id)).text == run.text
            assert (await follow(http, before.run_id)).said == before.said
            if away is killed:
                assert (await follow(http, unstored.run_id)).error == "run_not_found"
            after = await native(http, "Count to 7.")
            assert "x-dormouse-resume" not in after.headers
            rest = await follow(elsewhere, after.run_id, after=after.last_seq - 3)
            assert (rest.end, rest.last_seq) == ("finished", after.last_seq)


@pytest.mark.parametrize("away", [killed, frozen])
async def test_whoever_follows_at_another_replica_sees_every_event_once_through_an_outage(
    parts: Parts, tenant: Tenant, tasks: Tasks, away: Callable[[Valkey], Awaitable[None]]
) -> None:
    valkey = parts.valkey
    async with (
        parts.first.client(tenant) as http,
        parts.second.client(tenant) as elsewhere,
        parts.model_server.control() as control,
    ):
        simulation = Simulation(control)
        await simulation.clear()
        run = (await http.post("/v1/runs", json=run_body("Count to 200.", background=True))).json()["id"]
        following = tasks.start(follow(elsewhere, run))
        await simulation.wait(tokens=20)
        await away(valkey)
        await simulation.wait(tokens=70)
        await back(valkey)
        await simulation.wait(tokens=130)
        halfway = follow(elsewhere, run, after=20)
        seen, rest = await asyncio.gather(following, halfway)
        assert (seen.end, seen.text.split(", ")) == ("finished", [str(number) for number in range(1, 201)])
        assert (rest.end, rest.last_seq, rest.kinds) == ("finished", seen.last_seq, seen.kinds[20:])


async def back(valkey: Valkey) -> None:
    """Starts it again, or lets it go on."""
    if valkey.process.running:
        valkey.process.send(signal.SIGCONT)
    else:
        await valkey.start()


async def says(edge: Edge, line: str) -> bool:
    return line in await edge.metrics()
