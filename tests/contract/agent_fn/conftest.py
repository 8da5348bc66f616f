"""One agent_fn on a fast model server for tests that harm neither; another one with tools."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.contract.agent_fn.caller import Caller, calling
from tests.contract.agent_fn.tool_service import Invocation, ScriptedTools, ToolError, serving_tools
from tests.stack import AgentFn, Fleet, ModelServer, Stack, Tenant


@dataclass(frozen=True, slots=True)
class Shared:
    """Processes that live as long as the session."""

    fleet: Fleet
    model_server: ModelServer
    agent_fn: AgentFn


@pytest.fixture(scope="session")
async def shared(stack: Stack) -> AsyncIterator[Shared]:
    async with stack.fleet() as fleet:
        model_server = await fleet.model_server(ttft_ms=5, token_ms=1)
        yield Shared(fleet, model_server, await fleet.agent_fn(model_server))


@pytest.fixture
async def caller(stack: Stack, shared: Shared, tenant: Tenant) -> AsyncIterator[Caller]:
    """A fresh tenant's caller of the shared agent_fn."""
    async with calling(stack, shared.agent_fn, tenant) as caller:
        yield caller


@dataclass(frozen=True, slots=True)
class Tooled:
    """An agent_fn with tools, and a model server that says what a test writes for it."""

    model_server: ModelServer
    tools: ScriptedTools
    agent_fn: AgentFn

    async def says(self, *lines: dict[str, Any]) -> None:
        """What the model says from now on, one line for each call of it."""
        async with self.model_server.control() as http:
            (await http.put("/_sim/script", json={"lines": list(lines)})).raise_for_status()
            await http.delete("/_sim/requests")

    async def asked(self) -> list[dict[str, Any]]:
        """The bodies of what the model was asked since then, oldest first."""
        async with self.model_server.control() as http:
            found = (await http.get("/_sim/requests", params={"endpoint": "chat"})).json()["requests"]
            return [(await http.get(f"/_sim/requests/{entry['id']}")).json()["body"] for entry in found]


async def echo(call: Invocation) -> str:
    return f"{call.name} says {call.arguments.get('text', 'nothing')}"


async def fail(call: Invocation) -> str:
    raise ToolError("That is not how it works. Ask for something else.")


async def hang(call: Invocation) -> str:
    await asyncio.Event().wait()
    return ""


async def slow(call: Invocation) -> str:
    await call.progress("half way")
    await asyncio.sleep(float(call.arguments.get("seconds", 1)))
    return "done"


class Meeting:
    """A tool whose calls wait until three calls have been made."""

    def __init__(self, tools: ScriptedTools) -> None:
        self._tools = tools

    async def __call__(self, call: Invocation) -> str:
        await call.progress("waiting")
        await self._tools.wait_for(3)
        await asyncio.sleep(0.02)  # the third one's result goes first
        return f"met {call.arguments['n']}"


async def big(call: Invocation) -> str:
    return "x" * 10_000_000


@pytest.fixture(scope="session")
async def tooled_session(stack: Stack) -> AsyncIterator[Tooled]:
    async with stack.fleet() as fleet, serving_tools(stack.credentials.trusted_keys) as tools:
        for name, behaviour in {
            "look": echo,
            "find": echo,
            "fail": fail,
            "hang": hang,
            "slow": slow,
            "big": big,
        }.items():
            tools.add(name, behaviour)
        tools.add("meet", Meeting(tools))
        tools.add("thermometer", echo, description="Reads the thermometer outside.")
        tools.add("send", echo, has_side_effects=True)
        tools.add("delete", echo, has_side_effects=True, needs_approval=True)
        tools.add("pay", echo, has_side_effects=True, needs_approval=True)
        model_server = await fleet.model_server(ttft_ms=1, token_ms=0)
        agent_fn = await fleet.agent_fn(model_server, env={"DORMOUSE_TOOL_TARGET": tools.address})
        yield Tooled(model_server, tools, agent_fn)


@pytest.fixture
async def tooled(tooled_session: Tooled) -> Tooled:
    """The one with tools, with nothing that an earlier test has left in it."""
    tooled_session.tools.reset()
    await tooled_session.says()
    return tooled_session


@pytest.fixture
async def user_of_tools(stack: Stack, tooled: Tooled, tenant: Tenant) -> AsyncIterator[Caller]:
    """A fresh tenant's caller of it, with a token for all tools."""
    async with calling(stack, tooled.agent_fn, tenant, "tools") as caller:
        yield caller
