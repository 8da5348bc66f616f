"""The whole platform with tools that reach made-up providers, for tests of agents through the public API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from devstack.postgres import SUPERUSER

from loadtest.tools import FOLDER
from loadtest.transcripts.setting import TODAY, make_shop, tools_config, tools_environment
from tests.stack import Edge, EmbedFn, ModelServer, Stack
from tests.stack.server import Server


@dataclass(frozen=True, slots=True)
class Agents:
    """One of each process; nobody harms them. `address` of the provider server is host:port."""

    edge: Edge
    model_server: ModelServer
    providers: Server
    embed_fn: EmbedFn


@pytest.fixture(scope="session")
async def agents(stack: Stack) -> AsyncIterator[Agents]:
    """A platform of its own, whose model answers at once."""
    async with stack.fleet() as fleet:
        model_server = await fleet.model_server(ttft_ms=1, token_ms=0)
        providers = await fleet.providers(today=TODAY)
        shop = await make_shop(stack.database.server.url(SUPERUSER))
        config = stack.folder / "tools.yaml"
        config.write_text(tools_config(providers.address))
        embed_fn = await fleet.embed_fn(model_server)
        tool_fn = await fleet.tool_fn(config=config, folder=FOLDER, embed=embed_fn, env=tools_environment(shop))
        agent_fn = await fleet.agent_fn(model_server, tools=tool_fn)
        files = {"DORMOUSE_FILES": str(stack.database.files)}
        edge = await fleet.edge(agent_fn, tools=tool_fn, embed=embed_fn, env=files)
        yield Agents(edge, model_server, providers, embed_fn)
