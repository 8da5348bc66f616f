"""An edge replica is killed or freezes: clients go on at another one, and its runs are finished or cancelled there."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from tests.chaos.answers import TERMINAL, Answer, events_of, follow, native_answer, question, run_body
from tests.chaos.conftest import Tasks, moments
from tests.chaos.platforms import Parts, open_platform
from tests.chaos.simulation import Simulation
from tests.stack import Edge, Fleet, Tenant

KILLS = 10
STREAMS = 4
ANSWER_S = 0.5
COUNT_TO = 80
COUNTED = ", ".join(str(number) for number in range(1, COUNT_TO + 1))
ASKED = run_body(f"Count to {COUNT_TO}.")


class Reader:
    """A client that keeps what it has seen, and comes back with it to another replica when its connection breaks.

    other: whose run it goes on with, knowing what that one has seen. parses: whether it reads a native stream.
    """

    def __init__(self, other: "Reader | None" = None, *, parses: bool = True) -> None:
        self._parses = parses
        self.run_id: str = other.run_id if other else ""
        self.events: list[tuple[int, str, dict[str, Any]]] = list(other.events) if other else []
        self.breaks = 0

    @property
    def last_seq(self) -> int:
        return self.events[-1][0] if self.events else 0

    @property
    def has_ended(self) -> bool:
        return bool(self.events) and self.events[-1][1] in TERMINAL

    async def start(self, http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
        """Starts a run and reads to its end or the connection's."""
        await self._read(http.stream("POST", path, json=body))

    async def resume(self, http: httpx.AsyncClient) -> None:
        """Goes on behind what it has seen."""
        headers = {"last-event-id": str(self.last_seq)} if self.events else {}
        await self._read(http.stream("GET", f"/v1/runs/{self.run_id}/events", headers=headers))

    def answer(self) -> Answer:
        """What it has seen, every number once."""
        assert [seq for seq, _, _ in self.events] == list(range(1, len(self.events) + 1))
        assert [name for _, name, _ in self.events if name in TERMINAL] == [self.events[-1][1]]
        return native_answer(self.events)

    async def _read(self, opening: Any) -> None:
        rest = b""
        try:
            async with opening as response:
                assert response.status_code == 200, await response.aread()
                self.run_id = response.headers["x-dormouse-run-id"]
                async for data in response.aiter_raw():
                    whole, separator, rest = (rest + data).rpartition(b"\n\n")
                    if self._parses:
                        self.events += events_of(whole + separator)
        except httpx.TransportError:
            self.breaks += 1


async def test_a_client_that_comes_back_elsewhere_gets_every_event_once_after_each_of_ten_kills(
    fleet: Fleet, tenant: Tenant, tasks: Tasks, dice: random.Random
) -> None:
    kills = moments(dice, KILLS, ANSWER_S)

    async def run(kills: Sequence[float]) -> int:
        parts = await open_pair(fleet, lease_s=0.5, pace={"ttft_ms": 30, "token_ms": 6})
        return await outlive(parts.edges, tenant, tasks, kills)

    # Two pairs of replicas side by side need little more time than one.
    breaks = sum(await asyncio.gather(run(kills[::2]), run(kills[1::2])))
    print(f"{breaks} connections broke")
    assert breaks >= KILLS


async def open_pair(fleet: Fleet, *, lease_s: float, pace: Mapping[str, float]) -> Parts:
    """Two replicas, with a Valkey of their own so that no others know of them."""
    edge_env = {"DORMOUSE_LEASE_S": f"{lease_s:g}"}
    return await open_platform(fleet, replicas=2, pace=pace, edge_env=edge_env, valkey=await fleet.valkey())


async def outlive(edges: Sequence[Edge], tenant: Tenant, tasks: Tasks, kills: Sequence[float]) -> int:
    """Kills the two replicas in turn while clients read, and returns how many connections that broke."""
    breaks, (victim, other) = 0, edges
    revival = tasks.start(asyncio.sleep(0))
    for moment in kills:
        await revival
        async with victim.client(tenant) as dying, other.client(tenant) as living:
            readers = [Reader() for _ in range(STREAMS)]
            reading = [tasks.start(start_later(dying, reader, n)) for n, reader in enumerate(readers)]
            background = (await dying.post("/v1/runs", json={**ASKED, "background": True})).json()["id"]
            # Somebody who has been following at the other replica all the time does not even have to come back.
            bystander = tasks.start(follow(living, background))
            await asyncio.sleep(moment)
            await victim.kill()
            revival = tasks.start(revive(victim))
            await asyncio.gather(*reading)
            started = [reader for reader in readers if reader.run_id]
            await asyncio.gather(*(reader.resume(living) for reader in started if not reader.has_ended))
            answers = [reader.answer() for reader in started]
            assert [(a.end, a.text) for a in answers] == [("finished", COUNTED)] * len(started), f"at {moment:.3f} s"
            seen = await bystander
            assert (seen.end, seen.text, seen.completion_tokens) == ("finished", COUNTED, COUNT_TO)
            assert (await living.get(f"/v1/runs/{background}")).json()["status"] == "completed"
            breaks += sum(reader.breaks for reader in started)
        victim, other = other, victim
    await revival
    return breaks


async def test_runs_whose_edge_died_are_finished_or_cancelled_as_they_were_told(
    fleet: Fleet, tenant: Tenant, tasks: Tasks
) -> None:
    parts = await open_pair(fleet, lease_s=1, pace={"ttft_ms": 20, "token_ms": 15})
    victim, other = parts.edges
    async with victim.client(tenant) as dying, other.client(tenant) as living, parts.model_server.control() as control:
        simulation = Simulation(control)
        thread = (await dying.post("/v1/threads")).json()["id"]
        chat = {"model": "dormouse-dev", "messages": [question("Count to 81.")], "stream": True}
        readers = {
            "continue": (Reader(), "/v1/runs", ASKED),
            "cancel": (Reader(), "/v1/runs", {**ASKED, "on_disconnect": "cancel"}),
            "on a thread": (Reader(), f"/v1/threads/{thread}/runs", run_body("Count to 82.")),
            "chat": (Reader(parses=False), "/v1/chat/completions", chat),
        }
        reading = [tasks.start(reader.start(dying, path, body)) for reader, path, body in readers.values()]
        background = (await dying.post("/v1/runs", json={**run_body("Count to 83."), "background": True})).json()["id"]
        running = await simulation.wait(tokens=10, count=5)
        await victim.kill()
        killed = time.time()
        await asyncio.gather(*reading)
        # The model stops at once; whatever goes on is asked for anew.
        stopped = await simulation.wait(state="aborted", count=5, timeout_s=1)
        assert {request["id"] for request in stopped} == {request["id"] for request in running}
        assert max(request["times"]["aborted"] for request in stopped) - killed < 1
        runs = {name: reader.run_id for name, (reader, _, _) in readers.items()}
        ends = {name: await follow(living, run_id) for name, run_id in {**runs, "background": background}.items()}
        assert {name: answer.end for name, answer in ends.items()} == {
            "continue": "finished",
            "cancel": "cancelled",
            "on a thread": "finished",
            "chat": "cancelled",
            "background": "finished",
        }
        assert ends["background"].text.endswith(" 82, 83")
        assert (await living.get(f"/v1/runs/{runs['cancel']}")).json()["status"] == "cancelled"
        assert (await living.get(f"/v1/runs/{background}")).json()["status"] == "completed"
        state = (await living.get(f"/v1/threads/{thread}/state")).json()
        assert [message["content"] for message in state["messages"]] == ["Count to 82.", ends["on a thread"].text]
        assert len(await simulation.requests(state="done")) == 3
        assert not await simulation.unfinished()


async def test_a_replica_that_was_frozen_finds_its_runs_finished_elsewhere(
    fleet: Fleet, tenant: Tenant, tasks: Tasks
) -> None:
    parts = await open_pair(fleet, lease_s=0.6, pace={"ttft_ms": 20, "token_ms": 10})
    frozen, other = parts.edges
    async with frozen.client(tenant) as stuck, other.client(tenant) as living, parts.model_server.control() as control:
        # So many that it freezes in the middle of an append.
        readers = [Reader() for _ in range(16)]
        reading = [tasks.start(reader.start(stuck, "/v1/runs", ASKED)) for reader in readers]
        await Simulation(control).wait(tokens=20, count=len(readers))
        frozen.suspend()
        elsewhere = [Reader(reader) for reader in readers]
        await asyncio.gather(*(reader.resume(living) for reader in elsewhere))
        assert {(reader.answer().end, reader.answer().text) for reader in elsewhere} == {("finished", COUNTED)}
        frozen.resume()
        # Its clients' connections never broke: the rest comes from the logs that the other replica has written.
        await asyncio.gather(*reading)
        assert [reader.events for reader in readers] == [reader.events for reader in elsewhere]


async def start_later(http: httpx.AsyncClient, reader: Reader, number: int) -> None:
    await asyncio.sleep(0.1 * number)
    await reader.start(http, "/v1/runs", ASKED)


async def revive(edge: Edge) -> None:
    await edge.start()
