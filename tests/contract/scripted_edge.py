"""An edge on scripted agents and tools, and what tests of its surfaces read of its answers."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from dormouse_runtime.identity import TokenVerifier

from tests.contract.agent_service import ScriptedAgents, serving_agents
from tests.contract.tool_service import ScriptedTools, serving
from tests.stack import Edge, Stack

Event = tuple[int, str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ScriptedEdge:
    """The edge and what it called."""

    edge: Edge
    agents: ScriptedAgents
    tools: ScriptedTools


@asynccontextmanager
async def scripted_edge(stack: Stack, **env: str) -> AsyncIterator[ScriptedEdge]:
    """A replica of the edge of its own."""
    agents = ScriptedAgents()
    tools = ScriptedTools(TokenVerifier.from_file(stack.credentials.trusted_keys, "tool_fn"))
    async with serving_agents(agents) as agent_fn, serving(tools) as tool_fn, stack.fleet() as fleet:
        edge = await fleet.edge(agent_fn, env={"DORMOUSE_TOOL_TARGET": tool_fn, **env})
        yield ScriptedEdge(edge, agents, tools)


def parse(text: str) -> list[Event]:
    """The events of a native stream."""
    events = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if lines:
            events.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return events


def ask(text: str = "Send it.") -> dict[str, Any]:
    """The input of a native run."""
    return {"messages": [{"role": "user", "content": text}]}
