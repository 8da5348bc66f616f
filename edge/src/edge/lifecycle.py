"""What requests must know of the process: whether it is closing, and who is still being served."""

import asyncio
import time
from types import TracebackType
from typing import Self

from starlette.types import Receive


class ClientGoneError(Exception):
    """The client closed the connection before it had its answer."""


class ServerClosingError(Exception):
    """The time that open requests are given after SIGTERM is over."""


class Lifecycle:
    """Shared by the server, which closes, and by the requests, which have to end."""

    def __init__(self) -> None:
        self.draining = False
        """Set by SIGTERM: no new work should be sent here."""
        self._closed = False
        self._deadline = time.monotonic()
        self._watches: set[ClientWatch] = set()

    @property
    def open_requests(self) -> int:
        """How many requests are being watched over."""
        return len(self._watches)

    def drain(self, grace_s: float) -> None:
        """From now on the process only ends what it has begun, within `grace_s` seconds."""
        self.draining = True
        self._deadline = time.monotonic() + grace_s

    def grace_left(self) -> float:
        """Seconds; 0 when there is none, or none was given."""
        return max(self._deadline - time.monotonic(), 0.0)

    def close(self) -> None:
        """Ends every watched request, and those that still come, with ServerClosingError."""
        self._closed = True
        for watch in tuple(self._watches):
            watch.stop(ServerClosingError())

    def enter(self, watch: "ClientWatch") -> None:
        """Takes a request under watch."""
        self._watches.add(watch)
        if self._closed:
            watch.stop(ServerClosingError())

    def leave(self, watch: "ClientWatch") -> None:
        """Lets a request go."""
        self._watches.discard(watch)


class ClientWatch:
    """Cancels the block under it, from any wait, as soon as the client is gone or the server closes.

    The block then ends with ClientGoneError or ServerClosingError. It must have read the request's body before.
    """

    __slots__ = ("_cancelling", "_lifecycle", "_reason", "_receive", "_task", "_watcher")

    def __init__(self, receive: Receive, lifecycle: Lifecycle) -> None:
        self._receive = receive
        self._lifecycle = lifecycle
        self._reason: Exception | None = None

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._watcher = asyncio.create_task(self._wait_for_disconnect())
        self._lifecycle.enter(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lifecycle.leave(self)
        self._watcher.cancel()
        task = self._task
        del self._watcher, self._task  # each of them holds this object: nothing is left to the garbage collector
        if self._reason is not None and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise self._reason from None

    def stop(self, reason: Exception) -> None:
        """Ends the block with `reason`, once."""
        if self._reason is None:
            self._reason = reason
            self._task.cancel()

    async def _wait_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.stop(ClientGoneError())
