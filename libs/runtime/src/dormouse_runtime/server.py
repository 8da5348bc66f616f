"""Runs a gRPC function as a process: start, serve until a signal, drain, close; for each part's `__main__`."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from dormouse_runtime import client, logs, telemetry
from dormouse_runtime.calls import CallInterceptor
from dormouse_runtime.health import Health
from dormouse_runtime.identity import TokenVerifier
from dormouse_runtime.keys import KeyFileError
from dormouse_runtime.metrics import RpcMetrics, serve_metrics
from dormouse_runtime.settings import Address, Environment, SettingsError

_logger = logging.getLogger(__name__)
# Calls beyond the limit that grpc.aio itself may hold: room for health checks and for saying OVERLOADED properly.
_HEADROOM_RPCS: Final = 256
_CLIENT_GONE_IDLE_S: Final = 300


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What a function's process reads from its environment.

    listen: where gRPC is served; port 0 takes any. metrics_listen: None serves no metrics. trusted_keys: file of the
    callers' public keys. max_concurrent_rpcs: calls beyond it fail at once with OVERLOADED. drain_s: how long calls may
    go on after SIGTERM. shutdown_delay_s: how long calls are still taken after health has turned NOT_SERVING, for load
    balancers to notice. otel: the OTEL_* variables.
    """

    listen: Address
    trusted_keys: Path
    metrics_listen: Address | None = None
    max_message_bytes: int = client.MAX_MESSAGE_BYTES
    max_concurrent_rpcs: int = 1024
    drain_s: float = 25.0
    shutdown_delay_s: float = 0.0
    log_level: str = "info"
    log_format: str = "json"
    otel: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Raises SettingsError, which names the variable."""
        env = Environment(environ)
        port = env.integer("PORT", 8080, most=65535)
        return cls(
            listen=env.address("DORMOUSE_LISTEN", f"0.0.0.0:{port}"),
            trusted_keys=env.path("DORMOUSE_TRUSTED_KEYS"),
            metrics_listen=env.optional_address("DORMOUSE_METRICS_LISTEN"),
            max_message_bytes=env.integer("DORMOUSE_MAX_MESSAGE_BYTES", client.MAX_MESSAGE_BYTES, least=1024),
            max_concurrent_rpcs=env.integer("DORMOUSE_MAX_CONCURRENT_RPCS", 1024, least=1),
            drain_s=env.seconds("DORMOUSE_DRAIN_S", 25.0),
            shutdown_delay_s=env.seconds("DORMOUSE_SHUTDOWN_DELAY_S", 0.0),
            log_level=env.choice("DORMOUSE_LOG_LEVEL", logs.LEVELS, "info"),
            log_format=env.choice("DORMOUSE_LOG_FORMAT", logs.FORMATS, "json"),
            otel={name: value for name, value in environ.items() if name.startswith("OTEL_")},
        )


@dataclass(frozen=True, slots=True)
class Function:
    """What `build` yields.

    services: full service name to what registers its servicer. is_ready: polled about every second, drives the health
    service. drain: after SIGTERM; lets running calls come to an end within so many seconds.
    """

    services: Mapping[str, Callable[[grpc.aio.Server], None]]
    is_ready: Callable[[], Awaitable[bool]]
    drain: Callable[[float], Awaitable[None]] | None = None


Build = Callable[[], AbstractAsyncContextManager[Function]]


class StartupError(Exception):
    """The process can't start. The text says why, in one line."""


def run(name: str, settings: ServerSettings, build: Build) -> int:
    """Serves until SIGTERM or SIGINT and returns the exit status: 0, or 1 when it could not start.

    name is also the audience that callers' tokens must have. build opens what the function needs and closes it after
    the last call. On a signal: health NOT_SERVING, shutdown_delay_s, no new calls, function.drain, end of the calls or
    of drain_s, close. A second signal ends the process at once.
    """
    logs.configure(name, settings.log_level, settings.log_format)
    telemetry.setup(name, settings.otel)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(name, settings, build))
    except (StartupError, SettingsError, KeyFileError) as error:
        _logger.error("can't start: %s", error)
        return 1
    except Exception:
        _logger.exception("failed")
        return 1
    finally:
        telemetry.shutdown()
        logs.flush()
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None  # no wheel for this platform; asyncio's own loop does the same, slower
    return uvloop.new_event_loop


async def _serve(name: str, settings: ServerSettings, build: Build) -> None:
    stop = asyncio.Event()
    _handle_signals(stop)
    # Garbage collection in the middle of imports and wiring finds nothing; what is there after them stays for good.
    gc.disable()
    async with AsyncExitStack() as stack:
        verifier = TokenVerifier.from_file(settings.trusted_keys, name)
        metrics = RpcMetrics()
        metrics_address = ""
        if settings.metrics_listen is not None:
            try:
                metrics_server = await serve_metrics(settings.metrics_listen, collectors=(metrics,))
            except OSError as error:
                raise StartupError(f"metrics can't listen on {settings.metrics_listen}: {error.strerror}") from error
            stack.push_async_callback(metrics_server.aclose)
            metrics_address = str(metrics_server.address)
        function = await stack.enter_async_context(build())
        calls = CallInterceptor(verifier, metrics, settings.max_concurrent_rpcs)
        health = Health(function.services, function.is_ready)
        server = _make_server(settings, function, calls, health)
        address = _listen(server, settings.listen)
        await health.set(False)
        await server.start()
        gc.freeze()
        gc.enable()
        polling = asyncio.create_task(
            health.follow(
                lambda: _logger.info("serving", extra={"address": address, "metrics_address": metrics_address})
            )
        )
        try:
            await stop.wait()
        finally:
            polling.cancel()
            with suppress(asyncio.CancelledError):
                await polling
            await _shut_down(settings, function, calls, health, server)
    _logger.info("stopped")


def _make_server(
    settings: ServerSettings, function: Function, calls: CallInterceptor, health: Health
) -> grpc.aio.Server:
    server = grpc.aio.server(
        interceptors=[calls],
        maximum_concurrent_rpcs=settings.max_concurrent_rpcs + _HEADROOM_RPCS,
        options=[
            # Two processes on one port would share its calls without a word.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            # A caller that vanished is noticed, and its call cancelled, within KEEPALIVE_S + KEEPALIVE_TIMEOUT_S.
            ("grpc.keepalive_time_ms", client.KEEPALIVE_S * 1000),
            ("grpc.keepalive_timeout_ms", client.KEEPALIVE_TIMEOUT_S * 1000),
            ("grpc.keepalive_permit_without_calls", 0),
            ("grpc.http2.max_pings_without_data", 0),
            # Clients ping every KEEPALIVE_S on silent streams; the default would take that for an attack after 5 min.
            ("grpc.http2.min_ping_interval_without_data_ms", client.KEEPALIVE_S * 1000 // 2),
            # Foreign clients whose channels never go idle don't hold on to a function for ever.
            ("grpc.max_connection_idle_ms", _CLIENT_GONE_IDLE_S * 1000),
        ],
    )
    for register in function.services.values():
        register(server)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    names = (*function.services, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    return server


def _listen(server: grpc.aio.Server, address: Address) -> str:
    try:
        port = server.add_insecure_port(str(address))
    except RuntimeError as error:
        raise StartupError(f"gRPC can't listen on {address}: is something else there?") from error
    return str(Address(address.host, port))


async def _shut_down(
    settings: ServerSettings, function: Function, calls: CallInterceptor, health: Health, server: grpc.aio.Server
) -> None:
    await health.drain()
    await asyncio.sleep(settings.shutdown_delay_s)
    _logger.info("draining", extra={"seconds": settings.drain_s})
    calls.refuse_new_calls()
    # Closes the port and tells clients to go elsewhere (GOAWAY), while open calls go on.
    stopping = asyncio.create_task(server.stop(settings.drain_s))
    try:
        async with asyncio.timeout(settings.drain_s):
            if function.drain is not None:
                await function.drain(settings.drain_s)
            await calls.idle()
    except TimeoutError:
        _logger.warning("calls cut off at the end of the drain")
    # What is left now are health watchers, which would hold the server until the grace ends.
    await server.stop(None)
    await stopping


def _handle_signals(stop: asyncio.Event) -> None:
    """As process 1 too, where a signal without a handler is ignored and the pod would hang until it is killed."""
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        _logger.info("signal", extra={"signal": signal.Signals(number).name})
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
