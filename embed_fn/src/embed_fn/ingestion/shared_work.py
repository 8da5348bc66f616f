"""Work that several callers follow, and that ends when the last of them leaves."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError

from embed_fn.uses import only_counting

T = TypeVar("T")


class SharedWork(Generic[T]):
    """What it tells is kept by subject, the latest of each: who comes late or is slow misses only what is outdated."""

    def __init__(
        self, work: Callable[["SharedWork[T]"], Awaitable[None]], ended: Callable[["SharedWork[T]"], None]
    ) -> None:
        """ended: called once, as soon as nobody should join any more."""
        self._told: dict[Hashable, T] = {}
        self._changed = asyncio.Event()
        self._followers = 0
        self._error: DormouseError | None = None
        self._ended = ended
        # In an empty context: it belongs to all who follow, so no one's deadline or trace may be its. Who began it is
        # told what it has used.
        self._task = asyncio.get_running_loop().create_task(self._run(work), context=only_counting())
        self._task.add_done_callback(self._end)

    def when_done(self, clean_up: Callable[[], None]) -> None:
        """Calls it after the end, also of work that has not come to its first step."""
        self._task.add_done_callback(lambda _: clean_up())

    def tell(self, subject: Hashable, value: T) -> None:
        """For the work itself."""
        self._told[subject] = value
        self._wake()

    async def follow(self) -> AsyncGenerator[T, None]:
        """What is told, until the work is done. Close it, or be cancelled, to leave. Errors: the work's."""
        seen: dict[Hashable, T] = {}
        self._followers += 1
        try:
            while True:
                changed, is_done = self._changed, self._task.done()
                for subject, value in list(self._told.items()):
                    if seen.get(subject) != value:
                        seen[subject] = value
                        yield value
                if is_done:
                    break
                await changed.wait()
            if self._task.cancelled():
                raise self._error or _closed()
            self._task.result()
        finally:
            self._followers -= 1
            if not self._followers:
                await self.stop()

    async def stop(self, error: DormouseError | None = None) -> None:
        """Ends it; who follows gets the error."""
        self._error = self._error or error
        self._ended(self)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self, work: Callable[["SharedWork[T]"], Awaitable[None]]) -> None:
        await work(self)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._ended(self)
        self._wake()
        if not task.cancelled():
            task.exception()  # those who follow raise it

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _closed() -> DormouseError:
    return DormouseError(error_pb2.ERROR_REASON_SHUTTING_DOWN, "This instance is shutting down.")
