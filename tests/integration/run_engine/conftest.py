"""Run engines on the session's Postgres and Valkey, with a scripted agent behind them."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest
from dormouse.agent.v1.message_pb2 import ContentPart, Message, Role
from dormouse.agent.v1.run_event_pb2 import RunEvent
from dormouse_runtime.client import open_channel
from dormouse_runtime.identity import TokenIssuer
from edge.artifacts import ArtifactStore, open_artifacts
from edge.database import Database
from edge.redis_link import make_client
from edge.runs import AgentClient, EngineSettings, RunEngine, keys, open_engine
from edge.runs.ends import OnEnd
from edge.runs.model import RunSpec

from tests.integration.run_engine.scripted_agent import ScriptedAgent, asking, serving
from tests.stack import Stack, Tenant

LEASE_S = 0.5


@dataclass(slots=True)
class Bench:
    """What the tests of the engine work with."""

    stack: Stack
    agent: ScriptedAgent
    address: str
    tenant: Tenant
    exits: AsyncExitStack
    artifacts: dict[RunEngine, ArtifactStore] = field(default_factory=dict)
    ends: dict[RunEngine, Callable[[], Awaitable[None]]] = field(default_factory=dict)

    async def replica(
        self, redis_url: str = "", database_url: str = "", on_end: Sequence[OnEnd] = (), model_wake_s: float = 0
    ) -> RunEngine:
        """Another replica of the engine."""
        stop, opened = asyncio.Event(), asyncio.get_running_loop().create_future()

        async def live() -> None:
            async with AsyncExitStack() as exits:
                channel = open_channel(self.address)
                exits.push_async_callback(channel.close)
                database = Database(database_url or self.stack.database.url)
                await database.open()
                exits.push_async_callback(database.close)
                issuer = TokenIssuer.from_file(self.stack.credentials.service_key)
                redis_url_ = redis_url or self.stack.valkey.url
                replica_id = f"replica-{secrets.token_hex(4)}"
                settings = EngineSettings(redis_url_, replica_id, 60, LEASE_S, model_wake_s=model_wake_s)
                artifacts = await exits.enter_async_context(open_artifacts(database, redis_url_))
                agent = AgentClient(channel, issuer, with_tools=True, with_documents=True)
                engine = await exits.enter_async_context(open_engine(settings, agent, database, artifacts, on_end))
                self.artifacts[engine] = artifacts
                opened.set_result(engine)
                await stop.wait()

        task = asyncio.create_task(live())
        engine: RunEngine = await opened

        async def end() -> None:
            stop.set()
            await task

        self.ends[engine] = end
        self.exits.push_async_callback(end)
        return engine

    async def said(self, engine: RunEngine, run_id: str, text: str) -> None:
        """Waits until the run's log holds this text."""
        seen: list[RunEvent] = []
        async with aclosing(engine.events(self.tenant.id, run_id)) as batches:
            async for batch in batches:
                seen += batch
                if text in text_of(seen):
                    return

    async def stop(self, engine: RunEngine) -> None:
        """Stops a replica in order."""
        await self.ends[engine]()

    async def kill(self, engine: RunEngine) -> None:
        """Ends a replica without its saying so."""
        engine._replicas.release = _nothing  # type: ignore[method-assign]
        await engine._chores.end(0)
        await self.ends[engine]()

    def silence_heartbeat(self, engine: RunEngine) -> None:
        """Lets a replica look dead to the others while it lives on."""
        engine._replicas._redis = make_client("redis://127.0.0.1:1")

    def spec(self, text: str = "hi", **fields: Any) -> RunSpec:
        """A run of this test's tenant."""
        asked = Message(role=Role.ROLE_USER, content=[ContentPart(text=text)])
        return RunSpec(tenant=self.tenant.id, user=self.tenant.user, agent_id="chat", input=[asked], **fields)

    async def thread(self) -> str:
        """A new thread of this test's tenant."""
        thread_id = f"thread_{secrets.token_hex(12)}"
        database = Database(self.stack.database.url)
        await database.open()
        async with database.tenant(self.tenant.id) as connection:
            await connection.execute("insert into threads (id, tenant_id) values (%s, %s)", (thread_id, self.tenant.id))
        await database.close()
        return thread_id

    async def sql(self, query: str, *values: object) -> list[dict[str, Any]]:
        """The rows of a query as this test's tenant."""
        database = Database(self.stack.database.url, max_connections=1)
        await database.open()
        async with database.tenant(self.tenant.id) as connection:
            cursor = await connection.execute(query.encode(), values)
            rows = await cursor.fetchall() if cursor.description else []
        await database.close()
        return rows

    async def forget(self, run_id: str) -> None:
        """Lets Redis lose a run, as when its log has expired."""
        redis = make_client(self.stack.valkey.url)
        await redis.delete(keys.log(run_id), keys.meta(run_id))
        await redis.aclose()

    async def interrupted(self, engine: RunEngine, *call_ids: str, **fields: Any) -> str:
        """A run that waits for its first answer."""
        self.agent.script = asking(*(call_ids or ("c1",)))
        run_id = await engine.start(self.spec(stored=True, can_interrupt=True, **fields))
        assert kinds(await self.read(engine, run_id))[-1] == "run_interrupted"
        return run_id

    async def read(self, engine: RunEngine, run_id: str, after: int = 0) -> list[RunEvent]:
        """Every event behind `after`."""
        return [event async for batch in engine.events(self.tenant.id, run_id, after) for event in batch]


class Gate:
    """Stands in a replica's way at one of its own steps, until it is opened."""

    def __init__(self, target: object, name: str, *, before: bool) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()
        step = getattr(target, name)

        async def gated(*values: Any, **named: Any) -> Any:
            answer = None if before else await step(*values, **named)
            self.reached.set()
            await self.opened.wait()
            return await step(*values, **named) if before else answer

        setattr(target, name, gated)


async def _nothing() -> None:
    """What a replica that is killed says."""


@pytest.fixture
async def bench(stack: Stack, tenant: Tenant) -> AsyncIterator[Bench]:
    agent = ScriptedAgent()
    async with serving(agent) as address, AsyncExitStack() as exits:
        yield Bench(stack, agent, address, tenant, exits)


def text_of(events: list[RunEvent]) -> str:
    """What the messages say."""
    return "".join(event.message_delta.text for event in events)


def kinds(events: list[RunEvent]) -> list[str | None]:
    """The events' names."""
    return [event.WhichOneof("event") for event in events]


async def eventually(condition: Callable[[], Awaitable[bool]], timeout_s: float = 5) -> None:
    """Waits until the condition holds."""
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0.02)
