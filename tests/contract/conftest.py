"""One edge on scripted agents and tools for all tests of its surfaces that do not harm it."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.scripted_edge import ScriptedEdge, scripted_edge
from tests.stack import Stack


@pytest.fixture(scope="session")
async def scripted(stack: Stack) -> AsyncIterator[ScriptedEdge]:
    async with scripted_edge(stack) as scripted:
        yield scripted
