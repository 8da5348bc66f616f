"""What a replica does between runs."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

END_S = 2.0
"""How long a replica that stops waits for its chores."""


class Chores:
    """Tasks that belong to no run that is executed here, and do not end with the request that they came with."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def do(self, chore: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts one."""
        task = asyncio.create_task(chore)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def end(self, timeout_s: float = END_S) -> None:
        """Waits for all of them, and cancels what takes too long."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
