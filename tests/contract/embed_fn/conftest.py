"""One embed_fn with a model server, for tests that stop neither."""

from collections.abc import AsyncIterator

import pytest
from devstack.model_server.settings import Simulation

from tests.contract.embed_fn.caller import Caller, calling
from tests.stack import EmbedFn, ModelServer, Stack, Tenant


@pytest.fixture(scope="session")
async def shared_model_server(stack: Stack) -> AsyncIterator[ModelServer]:
    async with stack.fleet() as fleet:
        yield await fleet.model_server()


@pytest.fixture(scope="session")
async def embed_fn(stack: Stack, shared_model_server: ModelServer) -> AsyncIterator[EmbedFn]:
    """Gives the model server up after a second."""
    async with stack.fleet() as fleet:
        yield await fleet.embed_fn(shared_model_server, env={"DORMOUSE_MODEL_READ_TIMEOUT_S": "1"})


@pytest.fixture
async def model_server(shared_model_server: ModelServer) -> AsyncIterator[ModelServer]:
    """The one that embed_fn asks, as if nobody had used it; the test may slow it down and let it fail."""
    async with shared_model_server.control() as http:
        await http.delete("/_sim/requests")
        yield shared_model_server
        await http.delete("/_sim/faults")
        (await http.put("/_sim/config", json={"embed_ms": Simulation().embed_ms})).raise_for_status()


@pytest.fixture
async def caller(stack: Stack, embed_fn: EmbedFn, tenant: Tenant) -> AsyncIterator[Caller]:
    async with calling(stack, embed_fn, tenant) as caller:
        yield caller
