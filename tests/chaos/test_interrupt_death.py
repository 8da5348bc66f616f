"""An edge replica is killed while a run asks a person, or while it takes the answer: both happen once."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.chaos.answers import events_of
from tests.chaos.conftest import Tasks, moments
from tests.contract.agent_service import ScriptedAgents, serving_agents
from tests.contract.scripted_edge import ask
from tests.stack import Edge, Fleet, Tenant

KILLS = 6
WINDOW_S = 0.06
"""Longer than an idle machine takes for a question, or for an answer."""

PATIENCE_S = 20.0

Event = tuple[int, str, dict[str, Any]]


@pytest.fixture
async def agents() -> ScriptedAgents:
    return ScriptedAgents()


@pytest.fixture
async def edges(fleet: Fleet, agents: ScriptedAgents) -> AsyncIterator[list[Edge]]:
    """Two replicas on scripted agents, with a Valkey of their own."""
    async with serving_agents(agents) as address:
        yield await fleet.edges(address, 2, env={"DORMOUSE_LEASE_S": "0.5"}, valkey=await fleet.valkey())


async def log_of(http: httpx.AsyncClient, run_id: str, end: str) -> list[Event]:
    """The run's log, read whole and again until it stands at `end`."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            response = await http.get(f"/v1/runs/{run_id}/events")
            events = events_of(response.content) if response.status_code == 200 else []
            if events and events[-1][1] == end:
                assert [seq for seq, _, _ in events] == list(range(1, len(events) + 1))
                return events
            await asyncio.sleep(0.05)


async def answer(http: httpx.AsyncClient, run_id: str, answers: dict[str, Any]) -> None:
    """Sends the answers until they are taken."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            body = {"answers": answers, "background": True}
            response = await http.post(f"/v1/runs/{run_id}/resume", json=body)
            if response.status_code == 202:
                return
            assert response.status_code == 503, response.text
            await asyncio.sleep(0.05)


async def die(victim: Edge, moment: float) -> None:
    await asyncio.sleep(moment)
    await victim.kill()


async def test_a_run_is_asked_and_answered_once_whenever_its_replica_dies(
    edges: list[Edge], agents: ScriptedAgents, tenant: Tenant, tasks: Tasks, dice: random.Random
) -> None:
    (victim, other), revival = edges, tasks.start(asyncio.sleep(0))
    for number, moment in enumerate(moments(dice, KILLS, WINDOW_S)):
        await revival
        async with victim.client(tenant) as dying, other.client(tenant) as living:
            body = {"agent": "asking", "input": ask(), "background": True}
            run_id = (await dying.post("/v1/runs", json=body)).json()["id"]
            if number % 2:
                await asyncio.gather(die(victim, moment))
            asked = await log_of(living, run_id, "run.interrupted")
            answers = {interrupt["id"]: {"action": "approve"} for interrupt in asked[-1][2]["interrupts"]}
            if number % 2 == 0:
                dead = tasks.start(die(victim, moment))
                lost = tasks.start(answer(dying, run_id, answers))
                await asyncio.wait([dead, lost])
            await answer(living, run_id, answers)
            events = await log_of(living, run_id, "run.finished")
            kinds = [name for _, name, _ in events]
            assert events[: len(asked)] == asked, f"at {moment:.3f} s"
            assert (kinds.count("run.interrupted"), kinds.count("run.resumed")) == (1, 1), f"at {moment:.3f} s"
            assert kinds.count("tool_call.started") == kinds.count("tool_call.result") == 2
            record = (await living.get(f"/v1/runs/{run_id}")).json()
            assert (record["status"], record["interrupts"]) == ("completed", [])
        revival = tasks.start(revive(victim))
        victim, other = other, victim
    await revival


async def revive(edge: Edge) -> None:
    await edge.start()
