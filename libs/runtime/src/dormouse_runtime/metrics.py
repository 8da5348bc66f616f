"""Prometheus metrics of the process on a port of their own, and those of its RPCs.

RPCs are counted in plain Python numbers; prometheus_client is imported with the first scrape, so neither a start nor a
call pays for it.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from dormouse_runtime.settings import Address

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import CollectorRegistry

_logger = logging.getLogger(__name__)
_REQUEST_LIMIT: Final = 16 * 1024
_REQUEST_TIMEOUT_S: Final = 5.0
# Seconds. From a warm health check to a long run.
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Collector(Protocol):
    """What prometheus_client calls a custom collector."""

    def collect(self) -> Iterator[Metric]: ...


class Histogram:
    """Durations by their upper bounds, in seconds."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def exported(self) -> tuple[list[tuple[str, float]], float]:
        """Cumulative buckets and the sum, as prometheus_client wants them."""
        total, buckets = 0, []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets, self._sum


class MethodMetrics:
    """What happened to one RPC method."""

    __slots__ = ("codes", "in_flight", "seconds")

    def __init__(self) -> None:
        self.in_flight = 0
        self.codes: dict[str, int] = {}
        self.seconds = Histogram(_BUCKETS)

    def started(self) -> None:
        self.in_flight += 1

    def finished(self, code: str, seconds: float) -> None:
        self.in_flight -= 1
        self.codes[code] = self.codes.get(code, 0) + 1
        self.seconds.observe(seconds)


class RpcMetrics:
    """Calls by method and status code, their durations, and how many are in flight."""

    def __init__(self) -> None:
        self._methods: dict[str, MethodMetrics] = {}

    def method(self, name: str) -> MethodMetrics:
        """The numbers of one method, "package.Service/Method"."""
        return self._methods.setdefault(name, MethodMetrics())

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        handled = CounterMetricFamily("dormouse_rpc_handled", "Finished RPCs.", labels=["method", "code"])
        seconds = HistogramMetricFamily(
            "dormouse_rpc_seconds", "Time from an RPC's start to its end.", labels=["method"]
        )
        in_flight = GaugeMetricFamily("dormouse_rpc_in_flight", "RPCs under way.", labels=["method"])
        for name, method in self._methods.items():
            for code, count in method.codes.items():
                handled.add_metric([name, code], count)
            in_flight.add_metric([name], method.in_flight)
            seconds.add_metric([name], *method.seconds.exported())
        yield handled
        yield seconds
        yield in_flight


class MetricsServer:
    """Answers GET /metrics. `address` is the one it listens on."""

    def __init__(self, registry: CollectorRegistry | None, collectors: Sequence[Collector]) -> None:
        self._registry = registry
        self._collectors = collectors
        self._server: asyncio.Server | None = None
        self.address = Address("", 0)

    def add(self, collectors: Sequence[Collector]) -> None:
        """Shows these too, from the next scrape on."""
        self._collectors = (*self._collectors, *collectors)

    async def _start(self, listen: Address) -> None:
        self._server = await asyncio.start_server(self._serve, listen.host, listen.port, limit=_REQUEST_LIMIT)
        self.address = Address(listen.host, self._server.sockets[0].getsockname()[1])

    async def aclose(self) -> None:
        """Stops listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                method, _, rest = head.partition(b" ")
                path = rest.partition(b" ")[0].partition(b"?")[0]
                if method not in (b"GET", b"HEAD"):
                    status, kind, body = "405 Method Not Allowed", "text/plain", b""
                elif path != b"/metrics":
                    status, kind, body = "404 Not Found", "text/plain", b""
                else:
                    status = "200 OK"
                    kind, body = self._render()
                writer.write(
                    f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
                    "connection: close\r\n\r\n".encode()
                    + (b"" if method == b"HEAD" else body)
                )
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            _logger.debug("metrics request broken off", extra={"reason": type(error).__name__})
        finally:
            writer.close()

    def _render(self) -> tuple[str, bytes]:
        from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

        registry = REGISTRY if self._registry is None else self._registry
        if self._collectors:
            for collector in self._collectors:
                registry.register(collector)
            self._collectors = ()
        return CONTENT_TYPE_LATEST, generate_latest(registry)


async def serve_metrics(
    listen: Address, *, registry: CollectorRegistry | None = None, collectors: Sequence[Collector] = ()
) -> MetricsServer:
    """Serves a registry (default: prometheus_client's own, with process and GC metrics) and these collectors.

    Raises OSError when the address can't be listened on. The caller closes what it gets.
    """
    server = MetricsServer(registry, collectors)
    await server._start(listen)
    return server
