"""Channels to functions: deadlines enforced, trace and request id handed on, idle connections closed.

grpc.aio's client interceptors cost a task per call and a generator step per streamed message. So the channel itself
fills in what is missing when a call starts, and messages pass untouched.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final, Self

import grpc
import grpc.aio

from dormouse_runtime import deadlines, logs, telemetry

MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024
KEEPALIVE_S: Final = 30
KEEPALIVE_TIMEOUT_S: Final = 10
REQUEST_ID: Final = "x-request-id"

Metadata = tuple[tuple[str, str], ...]


def call_metadata(token: str, request_id: str = "") -> Metadata:
    """Metadata of a call in the name of the token's identity; without a request id the logs' bound one is sent."""
    authorization = ("authorization", f"Bearer {token}")
    return (authorization, (REQUEST_ID, request_id)) if request_id else (authorization,)


def open_channel(
    target: str,
    *,
    idle_timeout_s: float = 60,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    credentials: grpc.ChannelCredentials | None = None,
) -> grpc.aio.Channel:
    """A channel that connects with the first call. Without credentials it speaks h2c. The caller closes it.

    Every call on it must pass timeout= (else ValueError), which is cut to what the present call has left. After
    idle_timeout_s (at least 1) to twice that without a call the connection closes, so that the function can scale to
    zero; the next call connects again. Lost connections are retried after 0.1 s, later up to 2 s.
    """
    options = [
        ("grpc.client_idle_timeout_ms", int(idle_timeout_s * 1000)),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # Pings find dead peers while calls are open, and keep nothing up when there are none.
        ("grpc.keepalive_time_ms", KEEPALIVE_S * 1000),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_S * 1000),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.http2.max_pings_without_data", 0),
        # A function that died is back within a second; the default would wait up to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 5_000),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # Functions are inside; a proxy set for the way out would swallow the calls.
        ("grpc.enable_http_proxy", 0),
    ]
    if credentials is None:
        return _Channel(grpc.aio.insecure_channel(target, options=options))
    return _Channel(grpc.aio.secure_channel(target, credentials, options=options))


class _Call:
    """Starts calls of one method."""

    __slots__ = ("_inner", "_method")

    def __init__(self, inner: Any, method: str) -> None:
        self._inner = inner
        self._method = method.removeprefix("/")

    def __call__(self, *request: Any, timeout: float | None = None, metadata: Any = None, **options: Any) -> Any:
        if timeout is None:
            raise ValueError(f"{self._method} needs timeout=: every RPC has a deadline")
        pairs = tuple(metadata or ())
        request_id = logs.bound_id("request_id")
        if request_id and not any(name == REQUEST_ID for name, _ in pairs):
            pairs = (*pairs, (REQUEST_ID, request_id))
        timeout = deadlines.cap(timeout)
        if telemetry.is_on():
            return self._traced(request, timeout, pairs, options)
        return self._inner(*request, timeout=timeout, metadata=(*pairs, *telemetry.outgoing()), **options)

    def _traced(self, request: Any, timeout: float, pairs: Any, options: Any) -> Any:
        with telemetry.span(
            self._method, kind="client", attributes={"rpc.system.name": "grpc", "rpc.method": self._method}
        ):
            return self._inner(*request, timeout=timeout, metadata=(*pairs, *telemetry.outgoing()), **options)


class _Channel(grpc.aio.Channel):
    def __init__(self, inner: grpc.aio.Channel) -> None:
        self._inner = inner

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Call(self._inner.unary_unary(method, *args, **kwargs), method)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Call(self._inner.unary_stream(method, *args, **kwargs), method)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Call(self._inner.stream_unary(method, *args, **kwargs), method)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Call(self._inner.stream_stream(method, *args, **kwargs), method)

    async def close(self, grace: float | None = None) -> None:
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._inner.__aexit__(kind, error, traceback)
