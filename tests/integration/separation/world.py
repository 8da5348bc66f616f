"""Three tenants with people in them, a platform, and one way for all of them to speak to it."""

import json
import random
import secrets
import string
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
import httpx

from tests.integration.separation.marks import Marks
from tests.stack import AgentFn, Edge, EmbedFn, Stack, Tenant, ToolFn

PASSWORD = "a long pass phrase"


@dataclass(slots=True)
class Person:
    """Somebody of a tenant: what they authenticate with."""

    tenant: Tenant
    name: str
    credential: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.credential}"}


@dataclass(slots=True)
class Belongings:
    """What a tenant has made and not deleted, as it believes."""

    threads: dict[str, int] = field(default_factory=dict)
    """With the last number in its metadata."""
    files: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    runs: list[str] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    chunks: set[str] = field(default_factory=set)


@dataclass(slots=True)
class World:
    """Everything that a step may need."""

    stack: Stack
    edges: list[Edge]
    agent_fn: AgentFn
    tool_fn: ToolFn
    embed_fn: EmbedFn
    marks: Marks
    people: list[Person]
    belongings: dict[str, Belongings]
    clients: list[httpx.AsyncClient]
    channels: Mapping[str, grpc.aio.Channel]
    document: Mapping[str, Any]
    visited: Counter[str] = field(default_factory=Counter)
    """Operations by their template: `GET /v1/threads/{thread_id}`."""

    def canary(self, person: Person) -> str:
        return self.marks.canaries[person.tenant.id]

    def own(self, person: Person) -> Belongings:
        return self.belongings[person.tenant.id]

    def foreign(self, person: Person, kind: str) -> list[str]:
        """Ids of that kind that other tenants have."""
        return self.marks.of(self.marks.canaries.keys() - {person.tenant.id}, kind)

    async def ask(
        self, rng: random.Random, person: Person, method: str, path: str, /, template: str = "", **options: Any
    ) -> httpx.Response:
        """One request through any replica; what comes back is held against the marks."""
        client = rng.choice(self.clients)
        headers = {**person.headers, **options.pop("headers", {})}
        response = await client.request(method, path, headers=headers, **options)
        self.visited[f"{method} {template or path}"] += 1
        self.inspect(person, _sent(path, options), response)
        return response

    def inspect(self, person: Person, sent: str, response: httpx.Response) -> None:
        """Raises LeakError; AssertionError for a defect."""
        shown = response.text + json.dumps(dict(response.headers))
        self.marks.check(person.tenant.id, sent, shown)
        assert response.status_code < 500, f"{response.request.method} {response.request.url}: {response.text}"


def _sent(path: str, options: Mapping[str, Any]) -> str:
    return path + json.dumps({name: options[name] for name in ("params", "json") if name in options})


@asynccontextmanager
async def open_world(stack: Stack) -> AsyncIterator[World]:
    """Two replicas, every function, three tenants; each has an admin, a member and a viewer, with keys and sessions."""
    async with AsyncExitStack() as exits:
        fleet = await exits.enter_async_context(stack.fleet())
        model_server = await fleet.model_server(ttft_ms=0, token_ms=0, tokens=6, load_ms=0)
        embed_fn = await fleet.embed_fn(model_server)
        tool_fn = await fleet.tool_fn(embed=embed_fn)
        agent_fn = await fleet.agent_fn(model_server, tools=tool_fn)
        env = {"DORMOUSE_FILES": str(stack.database.files), "DORMOUSE_IP_REQUESTS_PER_MINUTE": "0"}
        edges = await fleet.edges(agent_fn, 2, tools=tool_fn, embed=embed_fn, env=env)
        tenants = [await stack.database.tenant() for _ in range(3)]
        clients = [await exits.enter_async_context(httpx.AsyncClient(base_url=edge.url, timeout=60)) for edge in edges]
        channels = {
            name: await exits.enter_async_context(grpc.aio.insecure_channel(server.address))
            for name, server in (("agent_fn", agent_fn), ("tool_fn", tool_fn), ("embed_fn", embed_fn))
        }
        document = (await clients[0].get("/openapi.json")).json()
        marks = Marks({tenant.id: "canary" + secrets.token_hex(6) for tenant in tenants})
        world = World(
            stack=stack,
            edges=edges,
            agent_fn=agent_fn,
            tool_fn=tool_fn,
            embed_fn=embed_fn,
            marks=marks,
            people=[Person(tenant, "admin", tenant.api_key) for tenant in tenants],
            belongings={tenant.id: Belongings() for tenant in tenants},
            clients=clients,
            channels=channels,
            document=document,
        )
        for person in tuple(world.people):
            await _add_people(world, person)
        yield world


async def _add_people(world: World, admin: Person) -> None:
    rng, canary = random.Random(0), world.canary(admin)
    for role in ("member", "viewer"):
        body: dict[str, Any] = {"email": f"{role}.{canary}@example.org", "name": canary, "role": role}
        made = (await world.ask(rng, admin, "POST", "/v1/users", json=body)).json()
        wanted = {"name": f"{role} {canary}", "user": made["id"], "role": role}
        key = (await world.ask(rng, admin, "POST", "/v1/keys", json=wanted)).json()
        world.people.append(Person(admin.tenant, role, key["key"]))
        answer = {"invitation": made["invitation"], "password": PASSWORD}
        tokens = (await world.ask(rng, admin, "POST", "/auth/accept", json=answer)).json()
        world.people.append(Person(admin.tenant, f"{role}'s session", tokens["access_token"]))


def letters(rng: random.Random, count: int = 24) -> str:
    return "".join(rng.choices(string.ascii_letters + string.digits, k=count))
