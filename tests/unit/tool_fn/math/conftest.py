"""The math tool over its real worker, confined as always; one worker for the module."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tool_fn.tool import Call, Tool, ToolError
from tool_fn.tools.math import WORKER, math_tool
from tool_fn.workers import Workers


class Calculator:
    """Calls the tool as the function does."""

    def __init__(self, workers: Workers, tool: Tool) -> None:
        self.workers = workers
        self._tool = tool

    async def __call__(self, operation: str, expression: str, **arguments: Any) -> str:
        raw = json.dumps({"operation": operation, "expression": expression, **arguments}).encode()
        deadline = asyncio.get_running_loop().time() + 30
        return await self._tool.invoke(raw, Call("tenant", "user", "", "", deadline))

    async def error(self, operation: str, expression: str, **arguments: Any) -> str:
        with pytest.raises(ToolError) as failed:
            await self(operation, expression, **arguments)
        return str(failed.value)

    @property
    def pids(self) -> list[int]:
        return self.workers.pids(WORKER.name)


@pytest.fixture(scope="session")
async def calculate() -> AsyncIterator[Calculator]:
    workers = Workers()
    tool = math_tool(workers, limit_s=4)
    try:
        assert tool.expect is not None
        tool.expect()  # SymPy loads while nobody waits
        yield Calculator(workers, tool)
    finally:
        await workers.close()


@pytest.fixture
async def hurried(calculate: Calculator) -> Calculator:
    """The same workers with a short limit, for what has to be stopped. Warm first: the limit is not for the start."""
    await calculate("evaluate", "1")
    return Calculator(calculate.workers, math_tool(calculate.workers, limit_s=0.5))
