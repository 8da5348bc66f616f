"""grpc.health.v1 that tells the truth: it polls whether the function can serve, and says no while it drains."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from grpc_health.v1 import health, health_pb2

_logger = logging.getLogger(__name__)
_PROBE_TIMEOUT_S: Final = 2.0
_INTERVAL_S: Final = 1.0
_FIRST_RETRY_S: Final = 0.05

SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class _Servicer(health.aio.HealthServicer):  # type: ignore[misc]
    """grpc's own, whose watches can be ended: an open one would hold up the server's stop until its grace is over."""

    def __init__(self) -> None:
        super().__init__()
        self._watches: set[asyncio.Task[None]] = set()

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802 - the name in the proto
        watch = asyncio.create_task(super().Watch(request, context))
        self._watches.add(watch)
        try:
            await asyncio.wait({watch})
        finally:
            self._watches.discard(watch)
            watch.cancel()
        if not watch.cancelled():
            await watch

    def end_watches(self) -> None:
        for watch in self._watches:
            watch.cancel()


class Health:
    """Keeps the status of every service and of the whole ("") at what `is_ready` says, within about a second."""

    def __init__(self, services: Iterable[str], is_ready: Callable[[], Awaitable[bool]]) -> None:
        self.servicer = _Servicer()
        self._services = ("", *services)
        self._is_ready = is_ready
        self._serving: bool | None = None

    async def set(self, serving: bool) -> None:
        """Publishes a status to checks and watchers."""
        for service in self._services:
            await self.servicer.set(service, SERVING if serving else NOT_SERVING)

    async def drain(self) -> None:
        """NOT_SERVING for good."""
        await self.servicer.enter_graceful_shutdown()

    def end_watches(self) -> None:
        """Ends the watchers' streams."""
        self.servicer.end_watches()

    async def follow(self, on_first_ready: Callable[[], None]) -> None:
        """Polls until cancelled; calls back once, when the function can serve for the first time."""
        told = False
        pause = _FIRST_RETRY_S
        while True:
            ready = await self._probe()
            if ready is not self._serving:
                await self.set(ready)
                if self._serving is not None or not ready:
                    _logger.log(logging.INFO if ready else logging.WARNING, "ready again" if ready else "not ready")
                self._serving = ready
                pause = _FIRST_RETRY_S / 2
            if ready and not told:
                told = True
                on_first_ready()
            pause = _INTERVAL_S if ready else min(pause * 2, _INTERVAL_S)
            await asyncio.sleep(pause)

    async def _probe(self) -> bool:
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                return await self._is_ready()
        except TimeoutError:
            return False
        except Exception:  # a probe that fails in any way means that the function can't serve
            _logger.warning("readiness probe failed", exc_info=True)
            return False
