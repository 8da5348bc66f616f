"""Functions that a run will need are asked something once, and only then."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import cast

import grpc.aio
import pytest
from dormouse.agent.v1.agent_pb2 import Agent
from dormouse.tool.v1.tool_service_pb2 import ListToolsRequest, ListToolsResponse
from dormouse.tool.v1.tool_service_pb2_grpc import ToolServiceServicer, add_ToolServiceServicer_to_server
from dormouse_runtime.client import open_channel
from edge.agents import AgentDirectory, Catalogue
from edge.wakes import DOCUMENTS, TOOLS, Waker
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer, add_HealthServicer_to_server

AGENTS = (Agent(id="chat"), Agent(id="react", any_tools=True), Agent(id="librarian", tools=["rag_search"]))


class Sleeper(HealthServicer, ToolServiceServicer):  # type: ignore[misc]  # the one ships without types
    """A function that counts who wakes it, and takes its time."""

    def __init__(self) -> None:
        self.asked = 0
        self.tokens: list[object] = []
        self.may_answer = asyncio.Event()

    async def Check(  # noqa: N802
        self, request: HealthCheckRequest, context: "grpc.aio.ServicerContext[HealthCheckRequest, HealthCheckResponse]"
    ) -> HealthCheckResponse:
        self.asked += 1
        await self.may_answer.wait()
        return HealthCheckResponse(status=HealthCheckResponse.SERVING)

    async def ListTools(  # noqa: N802
        self, request: ListToolsRequest, context: "grpc.aio.ServicerContext[ListToolsRequest, ListToolsResponse]"
    ) -> ListToolsResponse:
        self.asked += 1
        self.tokens += [value for name, value in context.invocation_metadata() or () if name == "authorization"]
        await self.may_answer.wait()
        return ListToolsResponse()


class Known:
    """Stands for the directory, of which only what it knows already is asked."""

    known = Catalogue(AGENTS, (), "", model_server_reachable=True, read_at=0)


@pytest.fixture
async def sleepers() -> AsyncIterator[tuple[Waker, Mapping[str, Sleeper]]]:
    found = {TOOLS: Sleeper(), DOCUMENTS: Sleeper()}
    servers, channels = [], {}
    for name, sleeper in found.items():
        server = grpc.aio.server()
        add_HealthServicer_to_server(sleeper, server)
        add_ToolServiceServicer_to_server(sleeper, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        servers.append(server)
        channels[name] = open_channel(f"127.0.0.1:{port}")
    waker = Waker(cast("AgentDirectory", Known()), channels)
    yield waker, found
    await waker.close()
    for channel in channels.values():
        await channel.close()
    for server in servers:
        await server.stop(None)


async def asked(sleepers: Mapping[str, Sleeper], waker: Waker) -> dict[str, int]:
    """How often each was asked, once every question that was begun has its answer."""
    for sleeper in sleepers.values():
        sleeper.may_answer.set()
    await asyncio.gather(*waker.waking)
    return {name: sleeper.asked for name, sleeper in sleepers.items()}


@pytest.mark.parametrize(
    ("agent", "tools", "expected"),
    [
        ("chat", None, {TOOLS: 0, DOCUMENTS: 0}),
        ("chat", ["math"], {TOOLS: 1, DOCUMENTS: 0}),
        ("react", None, {TOOLS: 1, DOCUMENTS: 0}),
        ("react", [], {TOOLS: 0, DOCUMENTS: 0}),
        ("react", ["math", "rag_search"], {TOOLS: 1, DOCUMENTS: 1}),
        ("nobody", None, {TOOLS: 0, DOCUMENTS: 0}),
    ],
)
async def test_a_run_wakes_what_it_may_call(
    sleepers: tuple[Waker, Mapping[str, Sleeper]], agent: str, tools: list[str] | None, expected: dict[str, int]
) -> None:
    waker, functions = sleepers
    waker.for_run("acme", agent, tools, "the run's")
    assert await asked(functions, waker) == expected
    # tool_fn hears what agent_fn is about to ask, and prepares for it.
    assert functions[TOOLS].tokens == ["Bearer the run's"] * expected[TOOLS]


async def test_many_runs_ask_once_and_an_awake_function_is_left_alone(
    sleepers: tuple[Waker, Mapping[str, Sleeper]],
) -> None:
    waker, functions = sleepers
    for _ in range(50):
        waker.for_run("acme", "react", None)
    assert await asked(functions, waker) == {TOOLS: 1, DOCUMENTS: 0}
    waker.for_run("acme", "react", None)
    assert await asked(functions, waker) == {TOOLS: 1, DOCUMENTS: 0}


async def test_an_agent_that_has_searched_for_a_tenant_has_documents_woken_for_that_tenant(
    sleepers: tuple[Waker, Mapping[str, Sleeper]], monkeypatch: pytest.MonkeyPatch
) -> None:
    waker, functions = sleepers
    monkeypatch.setattr("edge.wakes.AWAKE_S", 0.0)
    waker.for_call("acme", "react", "math")
    assert await asked(functions, waker) == {TOOLS: 0, DOCUMENTS: 0}
    waker.for_call("acme", "react", "rag_search")
    assert await asked(functions, waker) == {TOOLS: 0, DOCUMENTS: 1}
    waker.for_run("globex", "react", None)
    assert await asked(functions, waker) == {TOOLS: 1, DOCUMENTS: 1}
    waker.for_run("acme", "react", None)
    assert await asked(functions, waker) == {TOOLS: 2, DOCUMENTS: 2}


async def test_a_function_that_is_away_disturbs_nobody_and_is_asked_again() -> None:
    channel = open_channel("127.0.0.1:1")
    waker = Waker(cast("AgentDirectory", Known()), {TOOLS: channel, DOCUMENTS: None})
    for _ in range(2):
        waker.for_run("acme", "react", ["rag_search"])
        assert len(waker.waking) == 1
        await asyncio.gather(*waker.waking)
    await waker.close()
    await channel.close()
