"""The edge as a process: start, serve, and on SIGTERM end what was admitted before leaving."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Generator
from functools import partial
from typing import Final, cast

import uvicorn
from dormouse_runtime import logs, telemetry
from dormouse_runtime.metrics import MetricsServer, serve_metrics
from dormouse_runtime.settings import Address

from .app import create_app
from .connections import LOOPBACK, ConnectionCounter
from .files import refusal
from .http_protocol import EdgeHttpProtocol
from .lifecycle import Lifecycle
from .settings import Settings
from .tls import Certificate

KEEP_ALIVE_S: Final = 75
"""Longer than load balancers keep idle connections, so that it is never the edge that closes under a new request."""

FAREWELL_S: Final = 2
"""After the grace, so long streams have to say that the server closes."""

_log = logging.getLogger("edge")


class EdgeServer(uvicorn.Server):
    """uvicorn with an orderly end: not ready, no new connections, a grace for open requests, a word to the rest."""

    def __init__(
        self,
        config: uvicorn.Config,
        settings: Settings,
        lifecycle: Lifecycle,
        certificate: Certificate | None,
    ) -> None:
        super().__init__(config)
        self._settings = settings
        self._lifecycle = lifecycle
        self._certificate = certificate
        self._watching: asyncio.Task[None] | None = None
        self._metrics: MetricsServer | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """The process ends with status 0 after a signal; uvicorn's own way would kill it with the signal once more."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Logs `serving` with the addresses once requests are accepted."""
        if self._settings.metrics_listen is not None:
            self._metrics = await serve_metrics(self._settings.metrics_listen)
        await super().startup(sockets)
        if self._certificate is not None:
            self._watching = asyncio.create_task(self._certificate.watch())
            # Who has just written a new one need not wait.
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._certificate.refresh)
        gc.collect()
        gc.freeze()  # what is there now stays: no collection has to look at it again
        bound = self.servers[0].sockets[0].getsockname()
        # Whoever started this process waits for the line, so the log level does not count for it.
        announcement = logging.getLogger("edge.serving")
        announcement.setLevel(logging.INFO)
        announcement.info(
            "serving",
            extra={
                "address": str(Address(self._settings.edge_listen.host, bound[1])),
                "metrics_address": str(self._metrics.address) if self._metrics else "",
            },
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends within the grace plus a little, whatever clients do."""
        self._lifecycle.drain(self._settings.shutdown_delay_s + self._settings.drain_s)
        _log.info("draining", extra={"open_requests": self._lifecycle.open_requests})
        await asyncio.sleep(self._settings.shutdown_delay_s)
        farewell = asyncio.get_running_loop().call_later(self._settings.drain_s, self._lifecycle.close)
        try:
            await super().shutdown(sockets)
        finally:
            farewell.cancel()
            if self._watching is not None:
                self._watching.cancel()
                await asyncio.wait([self._watching])
            if self._metrics is not None:
                await self._metrics.aclose()
            _log.info("stopped")


def serve(settings: Settings) -> int:
    """Runs the edge until SIGTERM or SIGINT; the exit status."""
    logs.configure("edge", settings.log_level, settings.log_format)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # what it says of its own start is said below
    telemetry.setup("edge", os.environ)
    lifecycle = Lifecycle()
    try:
        certificate = _certificate(settings)
    except OSError as error:
        _log.error("can't start: DORMOUSE_TLS_CERTIFICATE, DORMOUSE_TLS_KEY: %s", error)
        return 1
    if sentence := asyncio.run(refusal(settings.postgres_url, settings.files)):
        _log.error("can't start: %s", sentence)
        return 1
    counter = ConnectionCounter(settings.connections_per_address, (*LOOPBACK, *settings.trusted_proxies))
    config = uvicorn.Config(
        create_app(settings, lifecycle),
        host=settings.edge_listen.host,
        port=settings.edge_listen.port,
        http=cast("type[asyncio.Protocol]", partial(EdgeHttpProtocol, counter=counter)),
        ws="none",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        reset_contextvars=True,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.drain_s) + FAREWELL_S,
        ssl_context_factory=(lambda config, default: certificate.context) if certificate is not None else None,
    )
    server = EdgeServer(config, settings, lifecycle, certificate)
    try:
        server.run()
    except OSError as error:
        _log.error("can't start: %s", error)
        return 1
    finally:
        telemetry.shutdown()
        logs.flush()
    return 0 if server.started else 1


def _certificate(settings: Settings) -> Certificate | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return Certificate(settings.tls_certificate, settings.tls_key)
