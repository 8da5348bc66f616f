"""Runs a gRPC function as a process: start, serve until a signal, drain, close; for each part's `__main__`."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dormouse_runtime import logs, telemetry
from dormouse_runtime.calls import CallInterceptor
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.health import Health
from dormouse_runtime.identity import TokenVerifier
from dormouse_runtime.keys import KeyFileError
from dormouse_runtime.metrics import Collector, MetricsServer, RpcMetrics, serve_metrics
from dormouse_runtime.reflection import add_reflection
from dormouse_runtime.settings import Address, Environment, SettingsError
from dormouse_runtime.signals import StopSignal
from dormouse_runtime.transport import MAX_MESSAGE_BYTES, server_options

_logger = logging.getLogger(__name__)
# Calls beyond the limit that grpc.aio itself may hold: room for health checks and for saying OVERLOADED properly.
_HEADROOM_RPCS: Final = 256
# How long closing what build() opened may take after the drain before the process ends all the same.
_CLOSE_S: Final = 3.0
# What the first token needs is loaded so long after the start, unless one has come.
_LOAD_TOKENS_AFTER_S: Final = 1.0
# How long answers of calls that have ended may take to leave, and reflection streams to end by themselves.
_FLUSH_S: Final = 2.0


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
    max_message_bytes: int = MAX_MESSAGE_BYTES
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
            max_message_bytes=env.integer("DORMOUSE_MAX_MESSAGE_BYTES", MAX_MESSAGE_BYTES, least=1024),
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
    service. drain: after SIGTERM; lets running calls come to an end within so many seconds. collectors: metrics of its
    own.
    """

    services: Mapping[str, Callable[[grpc.aio.Server], None]]
    is_ready: Callable[[], Awaitable[bool]]
    drain: Callable[[float], Awaitable[None]] | None = None
    collectors: Sequence[Collector] = ()


Build = Callable[[], AbstractAsyncContextManager[Function]]


class StartupError(Exception):
    """The process can't start. The text says why, in one line; `build` may raise it too."""


def run(name: str, settings: ServerSettings, build: Build, *, fast_loop: bool = True) -> int:
    """Serves until SIGTERM or SIGINT and returns the exit status: 0, or 1 when it failed or could not start.

    name is also the audience that callers' tokens must have. build opens what the function needs and closes it after
    the last call. When the function can serve for the first time, the process logs "serving" with its address. On a
    signal: health NOT_SERVING, shutdown_delay_s, no new calls, function.drain, end of the calls or of drain_s, close.
    A signal during the start ends it. A second signal ends the process at once. fast_loop: uvloop, which saves a
    quarter of the CPU where many small messages are streamed, and costs 2 MB and 15 ms at the start.
    """
    logs.configure(name, settings.log_level, settings.log_format)
    telemetry.setup(name, settings.otel)
    process = _Process(name, settings, build)
    try:
        with asyncio.Runner(loop_factory=_loop_factory() if fast_loop else None) as runner:
            runner.run(process.serve())
    except (StartupError, SettingsError, KeyFileError, DormouseError) as error:
        _logger.error("can't start: %s", error)
        return 1
    except Exception as error:
        _logger.exception("%s: %s: %s", "failed" if process.started else "can't start", type(error).__name__, error)
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


class _Process:
    """One function's life."""

    def __init__(self, name: str, settings: ServerSettings, build: Build) -> None:
        self._name = name
        self._settings = settings
        self._build = build
        self.started = False

    async def serve(self) -> None:
        settings = self._settings
        stop = StopSignal(settings.shutdown_delay_s + settings.drain_s + _FLUSH_S + _CLOSE_S)
        try:
            async with AsyncExitStack() as resources:
                await self._start(resources)
                stop.started()
                self.started = True
                await stop.wait()
                await self._shut_down()
        except asyncio.CancelledError:
            if not stop.ended_start():
                raise
        _logger.info("stopped")

    async def _start(self, resources: AsyncExitStack) -> None:
        settings = self._settings
        verifier = TokenVerifier.from_file(settings.trusted_keys, self._name)
        metrics = RpcMetrics()
        metrics_server = await self._serve_metrics(metrics, resources)
        metrics_address = "" if metrics_server is None else str(metrics_server.address)
        # A collection in the middle of imports and wiring finds nothing, and what is there after them stays for good.
        gc.disable()
        self._function = await resources.enter_async_context(self._build())
        if metrics_server is not None:
            metrics_server.add(self._function.collectors)
        gc.freeze()
        gc.enable()
        self._calls = CallInterceptor(verifier, metrics, settings.max_concurrent_rpcs)
        self._health = Health(self._function.services, self._function.is_ready)
        await self._health.set(False)
        self._server = _make_server(settings, self._function, self._calls, self._health)
        resources.push_async_callback(self._server.stop, None)
        address = _listen(self._server, settings.listen)
        await self._server.start()
        polling = asyncio.create_task(
            self._health.follow(
                lambda: _logger.info("serving", extra={"address": address, "metrics_address": metrics_address})
            )
        )
        resources.push_async_callback(_cancel, polling)
        resources.push_async_callback(_cancel, asyncio.create_task(_load_tokens()))

    async def _serve_metrics(self, metrics: RpcMetrics, resources: AsyncExitStack) -> MetricsServer | None:
        listen = self._settings.metrics_listen
        if listen is None:
            return None
        try:
            server = await serve_metrics(listen, collectors=(metrics,))
        except OSError as error:
            raise StartupError(f"metrics can't listen on {listen}: {error.strerror}") from error
        resources.push_async_callback(server.aclose)
        return server

    async def _shut_down(self) -> None:
        drain_s = self._settings.drain_s
        await self._health.drain()
        await asyncio.sleep(self._settings.shutdown_delay_s)
        _logger.info("draining", extra={"seconds": drain_s})
        self._calls.refuse_new_calls()
        # Closes the port and tells clients to go elsewhere (GOAWAY), while open calls go on.
        stopping = asyncio.create_task(self._server.stop(drain_s))
        try:
            async with asyncio.timeout(drain_s):
                if self._function.drain is not None:
                    await self._function.drain(drain_s)
                await self._calls.idle()
        except TimeoutError:
            _logger.warning("calls cut off at the end of the drain")
        except Exception:
            _logger.exception("drain failed")
        # The handlers have returned; their last messages may still be on the way out.
        self._health.end_watches()
        await asyncio.wait({stopping}, timeout=_FLUSH_S)
        await self._server.stop(None)
        await stopping


def _make_server(
    settings: ServerSettings, function: Function, calls: CallInterceptor, health: Health
) -> grpc.aio.Server:
    server = grpc.aio.server(
        interceptors=[calls],
        maximum_concurrent_rpcs=settings.max_concurrent_rpcs + _HEADROOM_RPCS,
        options=server_options(settings.max_message_bytes),
    )
    for register in function.services.values():
        register(server)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    add_reflection(server, (*function.services, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name))
    return server


def _listen(server: grpc.aio.Server, address: Address) -> str:
    try:
        port = server.add_insecure_port(str(address))
    except RuntimeError as error:
        raise StartupError(f"gRPC can't listen on {address}: is something else there?") from error
    return str(Address(address.host, port))


async def _load_tokens() -> None:
    await asyncio.sleep(_LOAD_TOKENS_AFTER_S)
    await asyncio.to_thread(importlib.import_module, "dormouse_runtime.tokens")


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
