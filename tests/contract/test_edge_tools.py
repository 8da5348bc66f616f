"""Tools and agents as the edge lists them, and what it says while the tool function is away."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from dormouse_runtime.identity import TokenVerifier

from tests.contract.tool_service import TOOLS, ScriptedTools, serving
from tests.stack import Edge, Fleet, Platform, Stack, Tenant


@dataclass(frozen=True, slots=True)
class Bench:
    edge: Edge
    tools: ScriptedTools


@pytest.fixture(scope="module")
async def bench(stack: Stack, platform: Platform) -> AsyncIterator[Bench]:
    tools = ScriptedTools(TokenVerifier.from_file(stack.credentials.trusted_keys, "tool_fn"))
    async with serving(tools) as address, stack.fleet() as fleet:
        yield Bench(await fleet.edge(platform.agent_fn, env={"DORMOUSE_TOOL_TARGET": address}), tools)


async def test_tools_are_listed_with_all_that_a_client_has_to_know(bench: Bench, tenant: Tenant) -> None:
    async with bench.edge.client(tenant) as http:
        answer = await http.get("/v1/tools")
    tools = {tool["name"]: tool for tool in answer.json()["data"]}
    assert list(tools) == sorted(tool.name for tool in TOOLS)
    assert tools["send"] == {
        "name": "send",
        "object": "tool",
        "description": "Sends it off.",
        "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        "has_side_effects": True,
        "needs_approval": True,
        "limits": {"time_ms": 5000, "output_bytes": 0},
    }
    assert (tools["echo"]["has_side_effects"], tools["echo"]["needs_approval"]) == (False, False)


async def test_an_agent_says_what_it_can_and_on_what_it_runs(bench: Bench, tenant: Tenant) -> None:
    async with bench.edge.client(tenant) as http:
        listed = (await http.get("/v1/agents")).json()
        agents = {agent["id"]: agent for agent in listed["data"]}
        for agent_id, agent in agents.items():
            assert (await http.get(f"/v1/agents/{agent_id}")).json() == agent
            assert agent["description"]
            assert agent["tools_complete"]
            assert listed["default_model"] in agent["models"]
            assert not any("embed" in model for model in agent["models"])
        unknown = await http.get("/v1/agents/nobody")
    assert agents["chat"]["tools"] == []
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "agent_not_found")


async def test_a_tool_function_that_is_away_takes_nothing_else_with_it(
    fleet: Fleet, platform: Platform, tenant: Tenant
) -> None:
    edge = await fleet.edge(platform.agent_fn, env={"DORMOUSE_TOOL_TARGET": fleet.address()})
    async with edge.client(tenant) as http:
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["components"]["tool_fn"]["status"] == "degraded"
        assert (await http.get("/health/tool_fn")).status_code == 200
        tools = await http.get("/v1/tools")
        assert (tools.status_code, tools.json()["error"]["code"]) == (503, "function_unavailable")
        agents = (await http.get("/v1/agents")).json()["data"]
        assert [agent["id"] for agent in agents if agent["id"] == "chat"]


async def test_without_a_tool_function_there_are_no_tools(platform: Platform, tenant: Tenant) -> None:
    async with platform.edge.client(tenant) as http:
        component = (await http.get("/health/tool_fn")).json()
        assert component["status"] == "ok"
