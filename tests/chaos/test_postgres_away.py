"""Postgres stops, dies or freezes: what needs it is refused at once, stateless chat goes on, and it heals by itself."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

import httpx
import psutil
import pytest
from devstack.credentials import make_api_key

from tests.chaos.answers import ag_ui, chat, native, on_thread, question, run_body, whole_chat
from tests.chaos.conftest import Tasks
from tests.chaos.disturbance import eventually
from tests.chaos.platforms import open_platform
from tests.chaos.simulation import Simulation
from tests.stack import AgentFn, Database, Edge, Fleet, ModelServer, Stack, Tenant

SOON_S = 3.0
"""In so many seconds everything is refused that cannot be done."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A platform on a Postgres of its own, and two tenants: one whose key the edge has seen."""

    database: Database
    model_server: ModelServer
    agent_fn: AgentFn
    edge: Edge
    known: Tenant


@pytest.fixture(scope="module")
async def parts(stack: Stack) -> AsyncIterator[Parts]:
    async with stack.fleet() as fleet:
        database = await fleet.postgres()
        parts = await open_platform(fleet, pace={"ttft_ms": 20, "token_ms": 10}, database=database)
        yield Parts(database, parts.model_server, parts.agent_fn, parts.edge, await database.tenant())
        await back(database)


async def stopped(database: Database) -> None:
    await database.stop()


async def killed(database: Database) -> None:
    await database.kill()


async def frozen(database: Database) -> None:
    for process in processes(database):
        process.send_signal(signal.SIGSTOP)


@pytest.mark.parametrize("away", [stopped, killed, frozen])
async def test_what_needs_postgres_is_refused_at_once_and_the_rest_goes_on(
    fleet: Fleet, parts: Parts, tasks: Tasks, away: Callable[[Database], Awaitable[None]]
) -> None:
    database, edge = parts.database, parts.edge
    newcomer, nobody = await database.tenant(), Tenant("nobody", "nobody", make_api_key())
    async with (
        edge.client(parts.known) as http,
        edge.client(await logged_in(edge, parts.known)) as person,
        edge.client(newcomer) as unseen,
        edge.client(nobody) as unknown,
        parts.model_server.control() as control,
    ):
        simulation = Simulation(control)
        await simulation.clear()
        thread = (await http.post("/v1/threads")).raise_for_status().json()["id"]
        # These begin before and end after it: they need it no more, or only to write down how they ended.
        begun = [tasks.start(ask(http, "Count to 80.")) for ask in (chat, whole_chat, native)]
        if away is not stopped:  # which is as being killed, and this takes both time limits, one after the other
            saving = tasks.start(native(http, "Count to 80.", path=f"/v1/threads/{thread}/runs"))
        await simulation.wait(tokens=10, count=3 if away is stopped else 4)
        await away(database)
        newborn = tasks.start(born_without(fleet, parts)) if away is stopped else None
        async with asyncio.timeout(SOON_S):
            refusals = await asyncio.gather(
                http.post("/v1/threads"),
                http.get("/v1/threads"),
                http.get(f"/v1/threads/{thread}"),
                http.get("/v1/runs"),
                http.post("/v1/runs", json=run_body("hi")),
                http.post("/v1/runs", json=run_body("hi", background=True)),
                http.post(f"/v1/threads/{thread}/runs", json=run_body("hi")),
                http.get(f"/v1/threads/{thread}/state"),
                http.get("/v1/runs/run_" + "a" * 24),
                http.get("/v1/runs/run_" + "a" * 24 + "/events"),
                http.post("/v1/agents/chat/ag-ui", json=AG_UI),
                unseen.get("/v1/models"),
                unseen.post("/v1/chat/completions", json={"model": "chat", "messages": [question("hi")]}),
                unknown.get("/v1/models"),
                unknown.post("/auth/login", json=LOGIN),
            )
        assert [clear(refusal) for refusal in refusals] == [(503, "database_unavailable", "true")] * len(refusals)
        # Whoever is known chats as before, without a pause each time.
        since = time.monotonic()
        for _ in range(3):
            answers = await asyncio.gather(*(ask(http, "Count to 9.") for ask in (chat, whole_chat)))
            assert {(answer.end, answer.text) for answer in answers} == {("finished", "1, 2, 3, 4, 5, 6, 7, 8, 9")}
        assert time.monotonic() - since < SOON_S
        async with asyncio.timeout(1):
            assert (await unknown.get("/v1/models", headers={"authorization": "Bearer x"})).status_code == 401
            assert (await http.get("/v1/models")).status_code == 200
            assert (await person.get("/v1/models")).status_code == 200, "whose session is known"
        async with asyncio.timeout(1):
            ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["components"]["postgres"]["status"]) == (200, "degraded")
        async with asyncio.timeout(10):
            ends = await asyncio.gather(*begun)
            assert [(answer.end, answer.completion_tokens) for answer in ends] == [("finished", 80)] * len(ends)
            rows = {ends[2].run_id: "completed"}
            if away is not stopped:
                saved = await saving
                assert (saved.end, saved.error, saved.text) == ("failed", "database_unavailable", ends[0].text)
                rows[saved.run_id] = "failed"
        replica = None if newborn is None else await newborn
        await back(database)
        await heals(http, unseen)
        assert (await unknown.get("/v1/models")).status_code == 401
        if replica is not None:
            async with replica.client(parts.known) as stranger:
                await heals(stranger, stranger)
        answers = await asyncio.gather(*(ask(http, "Count to 7.") for ask in (native, on_thread, ag_ui, chat)))
        assert [answer.end for answer in answers] == ["finished"] * len(answers)
        # The rows of what ended meanwhile follow, and the thread is free again.
        await eventually(partial(stand, http, rows))
        again = await http.post(f"/v1/threads/{thread}/runs", json=run_body("Count to 7."))
        assert again.status_code == 200


LOGIN = {"tenant": "t", "email": "ann@example.org", "password": "correct horse battery"}


async def logged_in(edge: Edge, tenant: Tenant) -> Tenant:
    """The tenant, as a user of it whose session's access token the edge has seen."""
    login = LOGIN | {"tenant": tenant.id}
    async with edge.client(tenant) as http:
        await http.post("/v1/users", json={name: login[name] for name in ("email", "password")})
        tokens = (await http.post("/auth/login", json=login)).raise_for_status().json()
    person = Tenant(tenant.id, "ann", tokens["access_token"])
    async with edge.client(person) as http:
        (await http.get("/auth/me")).raise_for_status()
    return person


AG_UI = {"threadId": "t", "runId": "r", "messages": [{"id": "q", **question("hi")}]}


def clear(response: httpx.Response) -> tuple[int, str, str]:
    """How it is refused, in OpenAI's shape."""
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return response.status_code, error["code"], response.headers.get("x-should-retry", "")


async def born_without(fleet: Fleet, parts: Parts) -> Edge:
    """A replica that starts while Postgres is away, and so knows nobody."""
    edge = await fleet.edge(parts.agent_fn, database=parts.database)
    async with edge.client(parts.known) as http, asyncio.timeout(SOON_S):
        assert clear(await http.get("/v1/models")) == (503, "database_unavailable", "true")
    return edge


async def heals(http: httpx.AsyncClient, unseen: httpx.AsyncClient) -> None:
    async def healed() -> bool:
        answers = await asyncio.gather(http.post("/v1/threads"), unseen.get("/v1/models"))
        return all(answer.is_success for answer in answers)

    await eventually(healed, 8)


async def stand(http: httpx.AsyncClient, wanted: Mapping[str, str]) -> bool:
    """Whether the list, which comes from the database, shows these runs in these states."""
    rows = (await http.get("/v1/runs", params={"limit": 100})).raise_for_status().json()["data"]
    return wanted.items() <= {row["id"]: row["status"] for row in rows}.items()


def processes(database: Database) -> list[psutil.Process]:
    """The server and all that work for it."""
    server = psutil.Process(database.server.process.pid)
    return [*server.children(recursive=True), server]


async def back(database: Database) -> None:
    """Starts it again, or lets it go on."""
    if not database.server.process.running:
        await database.resume()
        return
    for process in processes(database):
        process.send_signal(signal.SIGCONT)
