"""One client connection that costs next to nothing: it keeps the bytes and notes two moments."""

from __future__ import annotations

import asyncio
import time
from typing import cast

from loadtest.wire import CONTENT, END_OF_BODY


class Exchange:
    """One request and what came back; moments are time.perf_counter seconds, 0 = never."""

    __slots__ = ("data", "ended_at", "first_at", "lost", "reads", "sent_at")

    def __init__(self) -> None:
        self.sent_at = 0.0
        self.first_at = 0.0
        self.ended_at = 0.0
        self.reads = 0
        self.lost = ""
        self.data = bytearray()


class Connection(asyncio.Protocol):
    """Sends prebuilt requests one after the other; parsing waits until the clock has stopped."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._exchange = Exchange()
        self._ended: asyncio.Future[None] | None = None

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self) -> Exchange:
        """Send the request now."""
        assert self._transport is not None
        self._exchange = Exchange()
        self._exchange.sent_at = time.perf_counter()
        self._transport.write(self._request)
        return self._exchange

    async def ended(self) -> None:
        """Wait until the response is complete or lost."""
        if not self._exchange.ended_at:
            self._ended = asyncio.get_running_loop().create_future()
            await self._ended

    def drop(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not say that it is one

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        exchange.reads += 1
        exchange.data += data
        if not exchange.first_at:
            if CONTENT.search(exchange.data):
                exchange.first_at = time.perf_counter()
            elif not exchange.data.startswith(b"HTTP/1.1 200"[: len(exchange.data)]):
                self._end("refused")
                self.drop()
                return
        if exchange.data.endswith(END_OF_BODY):
            self._end("")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._exchange.sent_at and not self._exchange.ended_at:
            self._end(f"connection lost: {exc}" if exc else "connection closed")

    def _end(self, lost: str) -> None:
        self._exchange.ended_at = time.perf_counter()
        self._exchange.lost = lost
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
