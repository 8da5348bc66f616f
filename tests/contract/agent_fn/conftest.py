"""One agent_fn on a fast model server for tests that harm neither."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.contract.agent_fn.caller import Caller, calling
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
