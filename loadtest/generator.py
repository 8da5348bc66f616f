"""The load generator's process: python -m loadtest.generator, told what to do by lines on its standard input.

It reads one JSON line (`Plan`), opens the connections and writes {"event": "ready"}. Then each line is one word:
`round` starts all streams and writes {"event": "over"} when the last has ended, then the samples;
`hold` sends all requests and waits for nothing; `drop` closes all connections; the end of the input ends the process.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from dataclasses import asdict, dataclass

import orjson
import uvloop

from loadtest.connection import Connection, Exchange
from loadtest.wire import READERS, WireError, split_response


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send where: `streams` connections, each with `repeats` requests one after the other in a round.

    `spread_s` spreads the first requests of a round evenly over so many seconds; 0 starts them all at once.
    """

    host: str
    port: int
    protocol: str
    request: str
    streams: int
    repeats: int = 1
    spread_s: float = 0.0
    timeout_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One stream: seconds to its first token and to its end, what it carried, and why it was lost ("" = it wasn't)."""

    ttft_s: float
    whole_s: float
    tokens: int
    pieces: int
    reads: int
    text: str
    lost: str


class Generator:
    """Plays the plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._request = plan.request.encode()
        self._connections: list[Connection] = []

    async def connect(self) -> None:
        """Open the connections that are missing."""
        loop = asyncio.get_running_loop()
        self._connections = [connection for connection in self._connections if connection.usable]
        for _ in range(self._plan.streams - len(self._connections)):
            _, connection = await loop.create_connection(
                lambda: Connection(self._request), self._plan.host, self._plan.port
            )
            self._connections.append(connection)

    async def round(self) -> tuple[float, list[Exchange]]:
        """Start every stream; the seconds until the last has ended, and what came back."""
        exchanges: list[Exchange] = []
        began = time.perf_counter()
        apart_s = self._plan.spread_s / max(1, len(self._connections))
        plays = [self._play(each, exchanges, index * apart_s) for index, each in enumerate(self._connections)]
        await asyncio.gather(*plays)
        return time.perf_counter() - began, exchanges

    async def _play(self, connection: Connection, exchanges: list[Exchange], delay_s: float) -> None:
        if delay_s:
            await asyncio.sleep(delay_s)
        for _ in range(self._plan.repeats):
            if not connection.usable:
                return
            exchange = connection.send()
            exchanges.append(exchange)
            try:
                async with asyncio.timeout(self._plan.timeout_s):
                    await connection.ended()
            except TimeoutError:
                exchange.lost, exchange.ended_at = "timeout", time.perf_counter()
                connection.drop()

    def hold(self) -> None:
        """Send every request and leave the streams open."""
        for connection in self._connections:
            connection.send()

    def drop(self) -> None:
        """Close every connection."""
        for connection in self._connections:
            connection.drop()

    def sample(self, exchange: Exchange) -> Sample:
        """What an exchange amounts to."""
        whole_s = exchange.ended_at - exchange.sent_at
        ttft_s = exchange.first_at - exchange.sent_at if exchange.first_at else whole_s
        lost = exchange.lost
        try:
            status, body = split_response(bytes(exchange.data))
            if status != 200:
                raise WireError(f"HTTP {status}: {body[:200].decode(errors='replace')}")
            if not lost:
                chat = READERS[self._plan.protocol](body)
                return Sample(ttft_s, whole_s, chat.tokens, chat.pieces, exchange.reads, chat.text, "")
        except WireError as error:
            lost = str(error) if lost in ("", "refused") else lost
        return Sample(ttft_s, whole_s, 0, 0, exchange.reads, "", lost)


async def generate() -> None:
    """Read the plan and the words; write events."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**22)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    generator = Generator(Plan(**orjson.loads(await reader.readline())))
    await generator.connect()
    _write({"event": "ready"})
    while word := (await reader.readline()).decode().strip():
        if word == "round":
            gc.collect()
            gc.disable()
            wall_s, exchanges = await generator.round()
            _write({"event": "over", "wall_s": wall_s})
            gc.enable()
            _write({"event": "samples", "samples": [asdict(generator.sample(exchange)) for exchange in exchanges]})
            await generator.connect()
            _write({"event": "ready"})
        elif word == "hold":
            generator.hold()
            _write({"event": "held"})
        elif word == "drop":
            generator.drop()
            _write({"event": "dropped"})


def _write(event: object) -> None:
    sys.stdout.buffer.write(orjson.dumps(event) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(generate())
