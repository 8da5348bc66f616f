"""Channels to functions: deadlines enforced, trace and request id handed on, idle connections closed.

grpc.aio's client interceptors cost a task per call and a generator step per streamed message. So the channel itself
fills in what is missing when a call starts, and messages pass untouched.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Final, Self

import grpc
import grpc.aio

from dormouse_runtime import deadlines, logs, telemetry
from dormouse_runtime.transport import MAX_MESSAGE_BYTES, client_options

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
    options = client_options(idle_timeout_s, max_message_bytes)
    if credentials is None:
        return _Channel(grpc.aio.insecure_channel(target, options=options))
    return _Channel(grpc.aio.secure_channel(target, credentials, options=options))


class _Method:
    """Starts calls of one method; stands where a stub expects grpc.aio's multicallable."""

    __slots__ = ("_inner", "_name", "_watches")

    def __init__(self, inner: Any, path: str, watches: set[asyncio.Task[None]]) -> None:
        self._inner = inner
        self._name = path.removeprefix("/")
        self._watches = watches

    def __call__(self, *request: Any, timeout: float | None = None, metadata: Any = None, **options: Any) -> Any:
        if timeout is None:
            raise ValueError(f"{self._name} needs timeout=: every RPC has a deadline")
        pairs = tuple(metadata or ())
        request_id = logs.bound_id("request_id")
        if request_id and not any(name == REQUEST_ID for name, _ in pairs):
            pairs = (*pairs, (REQUEST_ID, request_id))
        span = telemetry.rpc_span(self._name, "client")
        call = self._inner(
            *request, timeout=deadlines.cap(timeout), metadata=(*pairs, *telemetry.outgoing(span)), **options
        )
        if span is not None:
            watch = asyncio.create_task(_end_with(span, call))
            self._watches.add(watch)
            watch.add_done_callback(self._watches.discard)
        return call


async def _end_with(span: telemetry.Span, call: grpc.aio.Call) -> None:
    try:
        code = await call.code()
        span.set(telemetry.RPC_STATUS_CODE, code.name)
        if code is not grpc.StatusCode.OK:
            span.fail(code.name)
    finally:
        span.end()


class _Channel(grpc.aio.Channel):
    def __init__(self, inner: grpc.aio.Channel) -> None:
        self._inner = inner
        self._watches: set[asyncio.Task[None]] = set()

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(self._inner.unary_unary(method, *args, **kwargs), method, self._watches)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(self._inner.unary_stream(method, *args, **kwargs), method, self._watches)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(self._inner.stream_unary(method, *args, **kwargs), method, self._watches)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(self._inner.stream_stream(method, *args, **kwargs), method, self._watches)

    async def close(self, grace: float | None = None) -> None:
        await self._inner.close(grace)
        if self._watches:
            await asyncio.wait(self._watches)  # every call has ended, so these do at once

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
