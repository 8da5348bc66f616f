"""The real platform for tests: Postgres and Valkey once per session, and every process that a test asks for.

    async def test_a_disconnect_cancels_the_model_call(fleet: Fleet) -> None:
        model_server = await fleet.model_server(ttft_ms=5000)
        agent_fn = await fleet.agent_fn(model_server)
        first, second = await fleet.edges(agent_fn, 2)
        tenant = await fleet.stack.database.tenant()
        async with first.client(tenant) as http: ...

Fixtures (tests/conftest.py): `stack` (session: Postgres, Valkey, keys), `platform` (session: one model server, agent_fn
and edge that nobody harms), `fleet` (this test's own processes, killed at its end), `tenant` (a fresh one).
Every process dies with the test session, also when that is killed with SIGKILL. Use it from the main thread only.
"""

from tests.stack.database import Database, Tenant
from tests.stack.fleet import Fleet
from tests.stack.server import AgentFn, Edge, EmbedFn, ModelServer, Server, ToolFn
from tests.stack.session import Platform, Stack

__all__ = [
    "AgentFn",
    "Database",
    "Edge",
    "EmbedFn",
    "Fleet",
    "ModelServer",
    "Platform",
    "Server",
    "Stack",
    "Tenant",
    "ToolFn",
]
