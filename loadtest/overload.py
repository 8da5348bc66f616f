"""More runs than there is room for: what gets through, and how quickly the rest is refused."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from loadtest.figures import percentile
from loadtest.wire import CONTENT, END_OF_BODY

LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
DONE = b"data: [DONE]"


@dataclass(frozen=True, slots=True)
class Load:
    """What came of one stretch of requests; times in ms.

    goodput: complete answers in a second. Refusals are answers with 429 or 503; `failed` are all others.
    """

    name: str
    offered_per_s: float
    goodput_per_s: float
    completed: int
    refused: int
    failed: int
    ttft_p50_ms: float
    ttft_p99_ms: float
    whole_p50_ms: float
    refusal_p50_ms: float
    refusal_p99_ms: float


@dataclass(slots=True)
class Exchange:
    """One request; moments are time.perf_counter seconds, 0: never."""

    sent_at: float
    first_at: float = 0.0
    ended_at: float = 0.0
    status: int = 0
    is_complete: bool = False


@dataclass(slots=True)
class Pool:
    """Connections that are kept for the next request."""

    host: str
    port: int
    request: bytes
    idle: list[_Connection] = field(default_factory=list)

    async def ask(self) -> Exchange:
        """One request and its whole answer; a connection that breaks is a failure."""
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        try:
            if not self.idle:
                _, connection = await loop.create_connection(lambda: _Connection(self), self.host, self.port)
            else:
                connection = self.idle.pop()
            async with asyncio.timeout(60):
                return await connection.ask(began)
        except (OSError, TimeoutError):
            return Exchange(began, ended_at=time.perf_counter())

    def close(self) -> None:
        """Closes what is idle."""
        for connection in self.idle:
            connection.close()


class _Connection(asyncio.Protocol):
    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()
        self._exchange = Exchange(0)
        self._answer: asyncio.Future[Exchange] | None = None

    async def ask(self, began: float) -> Exchange:
        assert self._transport is not None
        self._data.clear()
        self._exchange = Exchange(began)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(self._pool.request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        exchange, seen = self._exchange, self._data
        seen += data
        if not exchange.status and len(seen) > 12:
            exchange.status = int(seen[9:12])
        if exchange.status == 200:
            if not exchange.first_at and CONTENT.search(seen):
                exchange.first_at = time.perf_counter()
            if seen.endswith(END_OF_BODY):
                exchange.is_complete = DONE in seen[-200:] and bool(exchange.first_at)
                self._end(keep=True)
        elif exchange.status:
            head, blank, body = bytes(seen).partition(b"\r\n\r\n")
            length = LENGTH.search(head)
            if blank and length and len(body) >= int(length[1]):
                self._end(keep=b"connection: close" not in head.lower())

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self in self._pool.idle:
            self._pool.idle.remove(self)
        self._end(keep=False)

    def _end(self, *, keep: bool) -> None:
        if self._answer is None or self._answer.done():
            return
        self._exchange.ended_at = time.perf_counter()
        self._answer.set_result(self._exchange)
        if keep:
            self._pool.idle.append(self)
        else:
            self.close()


async def closed_loop(name: str, pool: Pool, clients: int, seconds: float) -> Load:
    """Each client asks again as soon as it has its answer: what the platform can do at most."""
    exchanges: list[Exchange] = []
    began = time.perf_counter()

    async def client() -> None:
        while time.perf_counter() - began < seconds:
            exchanges.append(await pool.ask())

    await asyncio.gather(*(client() for _ in range(clients)))
    return _load(name, exchanges, began, seconds)


async def open_loop(name: str, pool: Pool, per_s: float, seconds: float) -> Load:
    """Requests come at a steady pace, whatever becomes of them."""
    exchanges: list[Exchange] = []
    began = time.perf_counter()

    async def one() -> None:
        exchanges.append(await pool.ask())

    async with asyncio.TaskGroup() as tasks:
        for number in range(int(per_s * seconds)):
            wait = began + number / per_s - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            tasks.create_task(one())
    return _load(name, exchanges, began, seconds)


def _load(name: str, exchanges: Sequence[Exchange], began: float, seconds: float) -> Load:
    """Goodput counts what ended within the stretch, but for its first part, in which nothing can have ended yet."""
    whole = [each for each in exchanges if each.is_complete]
    refused = [each for each in exchanges if each.status in (429, 503)]
    lead = percentile([each.ended_at - each.sent_at for each in whole], 0.5) if whole else 0.0
    ended = [each for each in whole if began + lead <= each.ended_at <= began + seconds]
    return Load(
        name=name,
        offered_per_s=len(exchanges) / seconds,
        goodput_per_s=len(ended) / (seconds - lead),
        completed=len(whole),
        refused=len(refused),
        failed=len(exchanges) - len(whole) - len(refused),
        ttft_p50_ms=1000 * percentile([each.first_at - each.sent_at for each in whole], 0.5),
        ttft_p99_ms=1000 * percentile([each.first_at - each.sent_at for each in whole], 0.99),
        whole_p50_ms=1000 * lead,
        refusal_p50_ms=1000 * percentile([each.ended_at - each.sent_at for each in refused], 0.5),
        refusal_p99_ms=1000 * percentile([each.ended_at - each.sent_at for each in refused], 0.99),
    )
