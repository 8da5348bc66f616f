"""Whole platforms for the chaos tests, their processes started side by side."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from devstack.valkey import Valkey

from tests.stack import AgentFn, Database, Edge, Fleet, ModelServer


@dataclass(frozen=True, slots=True)
class Parts:
    """One of each, or several edges."""

    fleet: Fleet
    model_server: ModelServer
    agent_fn: AgentFn
    edges: tuple[Edge, ...]

    @property
    def edge(self) -> Edge:
        """The first replica."""
        return self.edges[0]


async def open_platform(
    fleet: Fleet,
    *,
    replicas: int = 1,
    pace: Mapping[str, float] | None = None,
    agent_env: Mapping[str, str] | None = None,
    edge_env: Mapping[str, str] | None = None,
    database: Database | None = None,
    valkey: Valkey | None = None,
) -> Parts:
    """Starts it and waits until all of it can do its work. `pace`: the model server's options."""
    model_address, agent_address = fleet.address(), fleet.address()
    async with asyncio.TaskGroup() as starts:
        model_server = starts.create_task(fleet.model_server(env=None, address=model_address, **(pace or {})))
        agent_fn = starts.create_task(
            fleet.agent_fn(f"http://{model_address}", address=agent_address, env=agent_env, database=database)
        )
        edges = [
            starts.create_task(fleet.edge(agent_address, env=edge_env, database=database, valkey=valkey, ready=False))
            for _ in range(replicas)
        ]
    parts = Parts(fleet, model_server.result(), agent_fn.result(), tuple(edge.result() for edge in edges))
    await asyncio.gather(*(edge.wait_ready() for edge in parts.edges))
    return parts
