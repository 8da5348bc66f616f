"""What the tests of clients share: a platform whose model server may be made to fail."""

from collections.abc import AsyncIterator

import pytest

from tests.clients.simulation import Simulation, steering
from tests.contract.tool_fn.caller import OPERATOR_TOOLS
from tests.stack import Platform, Stack

IMPATIENCE_S = 0.4


@pytest.fixture(scope="session")
async def fragile(stack: Stack) -> AsyncIterator[Platform]:
    """A platform that gives a silent model up after 0.4 s, and whose default model cannot be prefilled."""
    async with stack.fleet() as fleet:
        model_server = await fleet.model_server(ttft_ms=1, token_ms=1)
        settings = {
            "DORMOUSE_MODEL_READ_TIMEOUT_S": str(IMPATIENCE_S),
            "DORMOUSE_MODEL_FIRST_TOKEN_TIMEOUT_S": str(IMPATIENCE_S),
            "DORMOUSE_DEFAULT_MODEL": "dormouse-dev-noprefill",
        }
        agent_fn = await fleet.agent_fn(model_server, env=settings)
        yield Platform(model_server, agent_fn, await fleet.edge(agent_fn))


@pytest.fixture(scope="session")
async def tooled(stack: Stack) -> AsyncIterator[Platform]:
    """A platform with embed_fn and tool_fn, and beside its tools those of an operator's folder."""
    async with stack.fleet() as fleet:
        model_server = await fleet.model_server(ttft_ms=1, token_ms=1)
        tool_fn = await fleet.tool_fn(folder=OPERATOR_TOOLS)
        agent_fn = await fleet.agent_fn(model_server, tools=tool_fn)
        embed_fn = await fleet.embed_fn(model_server)
        files = {"DORMOUSE_FILES": str(stack.database.files)}
        yield Platform(model_server, agent_fn, await fleet.edge(agent_fn, tools=tool_fn, embed=embed_fn, env=files))


@pytest.fixture
async def simulation(fragile: Platform) -> AsyncIterator[Simulation]:
    """The controls of the fragile platform's model server."""
    async with steering(fragile.model_server) as simulation:
        yield simulation
