"""What Postgres has said of credentials: believed for a short while, and for longer while it cannot be asked."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

REFRESH_S: Final = 40.0
"""After so long an answer is asked for again, while the old one is still believed."""

BELIEVED_S: Final = 57.0
"""After so long an answer is not believed before it was asked for again: a revocation counts within 60 s."""

STALE_S: Final = 3600.0
"""So long an answer is believed while Postgres cannot be asked."""

UNKNOWN_S: Final = 5.0
"""So long what nobody knows is refused without asking."""

PAUSE_S: Final = 1.0
"""So long nobody waits for Postgres on behalf of what is known after it has failed to answer."""

CACHE_LIMIT: Final = 20_000
"""What is known, and as much that is not: strangers cannot push the known ones out."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Known(Generic[V]):
    value: V
    asked_at: float


class Believed(Generic[K, V]):
    """Answers of `ask` by key; None is an answer too: there is no such thing.

    ask raises DATABASE_UNAVAILABLE when Postgres does not answer. told hears where each answer came from: `memory`,
    `database` or `stale`.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, told: Callable[[str], None] = lambda source: None
    ) -> None:
        self._clock = clock
        self._told = told
        self._known: dict[K, _Known[V]] = {}
        self._unknown: dict[K, float] = {}
        self._asking: dict[K, asyncio.Task[V | None]] = {}
        self._failed_at = float("-inf")

    async def get(self, key: K, ask: Callable[[], Awaitable[V | None]]) -> V | None:
        """The answer. Raises what `ask` raises where none is known that may still be believed."""
        known = self._known.get(key)
        now = self._clock()
        if known is None:
            if now - self._unknown.get(key, float("-inf")) < UNKNOWN_S:
                self._told("memory")
                return None
            return await self._look_up(key, ask)
        age = now - known.asked_at
        if age < BELIEVED_S:
            if age >= REFRESH_S:
                self._ask(key, ask)
            self._told("memory")
            return known.value
        return await self._look_up_or_trust(key, ask, known.value, age)

    def forget(self, key: K) -> None:
        """The next question goes to Postgres. For what this process has changed itself."""
        self._known.pop(key, None)
        self._unknown.pop(key, None)

    def forget_where(self, fits: Callable[[V], bool]) -> None:
        """The same for every answer that fits. Looks at all of them: for what people do, not for each request."""
        for key in [key for key, known in self._known.items() if fits(known.value)]:
            self.forget(key)

    async def close(self) -> None:
        """Ends what is under way."""
        for task in tuple(self._asking.values()):
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _look_up_or_trust(self, key: K, ask: Callable[[], Awaitable[V | None]], value: V, age: float) -> V | None:
        try:
            if age < STALE_S and self._clock() - self._failed_at < PAUSE_S:
                self._told("stale")
                return value
            return await self._look_up(key, ask)
        except DormouseError as error:
            if error.reason != ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE or age >= STALE_S:
                raise
            self._told("stale")
            return value

    async def _look_up(self, key: K, ask: Callable[[], Awaitable[V | None]]) -> V | None:
        self._told("database")
        return await asyncio.shield(self._ask(key, ask))

    def _ask(self, key: K, ask: Callable[[], Awaitable[V | None]]) -> "asyncio.Task[V | None]":
        """Questions about the same that come together are asked once."""
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._answer(key, ask))
            task.add_done_callback(lambda task: self._answered(key, task))
        return task

    def _answered(self, key: K, task: "asyncio.Task[V | None]") -> None:
        self._asking.pop(key, None)
        if not task.cancelled() and task.exception() is not None:
            self._failed_at = self._clock()

    async def _answer(self, key: K, ask: Callable[[], Awaitable[V | None]]) -> V | None:
        asked_at = self._clock()
        value = await ask()
        self._known.pop(key, None)
        self._unknown.pop(key, None)
        if value is None:
            _put(self._unknown, key, asked_at)
        else:
            _put(self._known, key, _Known(value, asked_at))
        return value


def _put(cache: dict[K, T], key: K, value: T) -> None:
    while len(cache) >= CACHE_LIMIT:
        del cache[next(iter(cache))]
    cache[key] = value
