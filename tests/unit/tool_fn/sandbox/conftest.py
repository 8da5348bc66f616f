"""The sandbox as the tool uses it: built, and in workers."""

import asyncio
import sys
from collections.abc import AsyncIterator

import msgspec
import pytest
from tool_fn.sandbox.component import Component
from tool_fn.sandbox.report import Program, Report
from tool_fn.tools.python import WORKER
from tool_fn.workers import Workers

PRINTED_BYTES = 5000


class Sandbox:
    """Runs programs one after the other in the same worker."""

    def __init__(self, workers: Workers) -> None:
        self.workers = workers

    async def run(self, source: str, limit_s: float) -> Report:
        program = msgspec.json.encode(Program(source, limit_s, PRINTED_BYTES))
        return msgspec.json.decode(await self.workers.call(WORKER.name, program, limit_s + 5), type=Report)

    @property
    def pids(self) -> list[int]:
        return self.workers.pids(WORKER.name)


@pytest.fixture(scope="session")
async def component() -> Component:
    """The built component: a machine that runs this folder alone may not have it yet."""
    component = Component()
    if component.problem():
        build = await asyncio.create_subprocess_exec(sys.executable, "-m", "tool_fn.sandbox.build")
        assert await build.wait() == 0
    return component


@pytest.fixture(scope="session")
async def sandbox(component: Component) -> AsyncIterator[Sandbox]:
    workers = Workers()
    workers.declare(WORKER)
    yield Sandbox(workers)
    await workers.close()
