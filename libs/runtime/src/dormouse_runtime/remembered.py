"""Values that take a while to read, remembered for a short time."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Generic, TypeVar

from dormouse_runtime.errors import DormouseError

_logger = logging.getLogger(__name__)
T = TypeVar("T")


class Remembered(Generic[T]):
    """A value that takes a while to read.

    For `fresh_s` after it was read it counts as it is; until `kept_s` it still counts while it is read again in the
    background; after that, and at first, whoever asks waits. Those who wait share one reading.
    """

    def __init__(self, read: Callable[[], Coroutine[Any, Any, T]], *, fresh_s: float, kept_s: float) -> None:
        self._read = read
        self._fresh_s = fresh_s
        self._kept_s = kept_s
        self._loop = asyncio.get_running_loop()
        self._read_at = float("-inf")
        self._value: T | None = None
        self._reading: asyncio.Task[T] | None = None
        self.has_failed = False
        """Whether the last reading that ended gave no value: what `get` returns is from before."""

    async def get(self) -> T:
        """The value; raises what reading it raised."""
        age = self._loop.time() - self._read_at
        if age > self._fresh_s and self._reading is None:
            # In an empty context: it belongs to all who wait, so no one's deadline may end it.
            self._reading = self._loop.create_task(self._refresh(), context=Context())
            self._reading.add_done_callback(self._read_or_failed)
        if age <= self._kept_s and self._value is not None:
            return self._value
        assert self._reading is not None
        # Shielded: one that leaves does not take the others' reading away.
        return await asyncio.shield(self._reading)

    @property
    def is_reading(self) -> bool:
        """Whether it is being read just now."""
        return self._reading is not None

    async def aclose(self) -> None:
        """Stops reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _refresh(self) -> T:
        value = await self._read()
        self._value, self._read_at = value, self._loop.time()
        return value

    def _read_or_failed(self, reading: asyncio.Task[T]) -> None:
        self._reading = None
        if reading.cancelled():
            return
        error = reading.exception()
        self.has_failed = error is not None
        if error is None:
            return
        if isinstance(error, DormouseError) and not error.retryable:
            self._read_at = float("-inf")  # it is gone, not away: the next one asks again and hears it
        _logger.debug("could not be read again", extra={"error": repr(error)})
