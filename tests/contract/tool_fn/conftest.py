"""One tool_fn with the tools in `operator_tools` beside its own, for tests that do not harm it."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.tool_fn.caller import OPERATOR_TOOLS, Caller, calling
from tests.stack import Stack, Tenant, ToolFn


@pytest.fixture(scope="session")
async def tool_fn(stack: Stack) -> AsyncIterator[ToolFn]:
    async with stack.fleet() as fleet:
        yield await fleet.tool_fn(folder=OPERATOR_TOOLS)


@pytest.fixture
async def caller(stack: Stack, tool_fn: ToolFn, tenant: Tenant) -> AsyncIterator[Caller]:
    """A fresh tenant's caller of the shared tool_fn, who may use every tool."""
    async with calling(stack, tool_fn, tenant) as caller:
        yield caller
