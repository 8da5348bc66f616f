"""Channels to functions: deadlines enforced, trace and request id handed on, idle connections closed.

grpc.aio's client interceptors cost a task per call and a generator step per streamed message. So the channel itself
fills in what is missing when a call starts, and messages pass untouched.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from functools import partial
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
    idle_timeout_s without a call the connection closes, so that the function can scale to zero; the next call connects
    again. A call object that is kept after its end keeps the connection too; one that is dropped before its end goes
    on until its deadline: cancel it. Lost connections are retried after 0.1 s, later up to 0.5 s.
    """
    options = client_options(max_message_bytes)
    if credentials is None:
        return _Channel(partial(grpc.aio.insecure_channel, target, options=options), idle_timeout_s)
    return _Channel(partial(grpc.aio.secure_channel, target, credentials, options=options), idle_timeout_s)


class _Channel(grpc.aio.Channel):
    """A grpc.aio channel that is closed when it is idle and made anew for the next call.

    grpc's own grpc.client_idle_timeout_ms works once per channel: after it has closed and opened the connection, that
    stays for ever (https://github.com/grpc/grpc/issues/38454, seen with 1.85).
    """

    def __init__(self, connect: Callable[[], grpc.aio.Channel], idle_timeout_s: float) -> None:
        self._connect = connect
        self._idle_timeout_s = idle_timeout_s
        self._inner: grpc.aio.Channel | None = None
        self._users = 0
        self._idle_since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ended: weakref.WeakSet[grpc.aio.Call] = weakref.WeakSet()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def take(self) -> grpc.aio.Channel:
        """The connected or connecting channel, kept until `give_back`."""
        if self._closed:
            raise grpc.aio.UsageError("Channel is closed.")
        if self._inner is None:
            self._inner = self._connect()
        self._users += 1
        return self._inner

    def give_back(self, call: grpc.aio.Call | None = None) -> None:
        """Called when a call has ended, or whatever else needed the channel."""
        self._users -= 1
        if call is not None:
            self._ended.add(call)
        if self._users == 0 and not self._closed:
            loop = asyncio.get_running_loop()
            self._idle_since = loop.time()
            if self._timer is None:  # one timer for many calls: it looks again when it comes too early
                self._timer = loop.call_later(self._idle_timeout_s, self._close_idle, loop)

    def own(self, task: asyncio.Task[None]) -> None:
        """Keeps a task alive until it is done; close() waits for it."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _close_idle(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._users or self._inner is None:
            return
        left = self._idle_since + self._idle_timeout_s - loop.time()
        if left > 0:
            self._timer = loop.call_later(left, self._close_idle, loop)
            return
        inner, self._inner = self._inner, None
        self.own(loop.create_task(self._disconnect(inner)))

    async def _disconnect(self, inner: grpc.aio.Channel) -> None:
        await inner.close()
        # A call object keeps its connection open, and one whose iteration was broken off is part of a reference cycle
        # (grpc.aio keeps the iterator in the call), which in an idle process nobody would collect.
        if self._ended:
            gc.collect()

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, method, lambda inner: inner.unary_unary(method, *args, **kwargs))

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, method, lambda inner: inner.unary_stream(method, *args, **kwargs))

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, method, lambda inner: inner.stream_unary(method, *args, **kwargs))

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, method, lambda inner: inner.stream_stream(method, *args, **kwargs))

    async def close(self, grace: float | None = None) -> None:
        """Ends open calls, after at most grace seconds."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._inner is not None:
            inner, self._inner = self._inner, None
            await inner.close(grace)
        if self._tasks:
            await asyncio.wait(self._tasks)  # every call has ended, so these do at once

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        if self._closed:
            return grpc.ChannelConnectivity.SHUTDOWN
        if self._inner is None and not try_to_connect:
            return grpc.ChannelConnectivity.IDLE
        inner = self.take()
        self.give_back()
        return inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        inner = self.take()
        try:
            await inner.wait_for_state_change(last_observed_state)
        finally:
            self.give_back()

    async def channel_ready(self) -> None:
        inner = self.take()
        try:
            await inner.channel_ready()
        finally:
            self.give_back()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class _Method:
    """Starts calls of one method; stands where a stub expects grpc.aio's multicallable."""

    __slots__ = ("_channel", "_inner", "_make", "_name", "_start")

    def __init__(self, channel: _Channel, path: str, make: Callable[[grpc.aio.Channel], Any]) -> None:
        self._channel = channel
        self._name = path.removeprefix("/")
        self._make = make
        self._inner: grpc.aio.Channel | None = None
        self._start: Any = None

    def __call__(self, *request: Any, timeout: float | None = None, metadata: Any = None, **options: Any) -> Any:
        if timeout is None:
            raise ValueError(f"{self._name} needs timeout=: every RPC has a deadline")
        pairs = tuple(metadata or ())
        request_id = logs.bound_id("request_id")
        if request_id and not any(name == REQUEST_ID for name, _ in pairs):
            pairs = (*pairs, (REQUEST_ID, request_id))
        span = telemetry.rpc_span(self._name, "client")
        inner = self._channel.take()
        try:
            if inner is not self._inner:
                self._inner, self._start = inner, self._make(inner)
            call = self._start(
                *request, timeout=deadlines.cap(timeout), metadata=(*pairs, *telemetry.outgoing(span)), **options
            )
        except BaseException:
            self._channel.give_back()
            raise
        call.add_done_callback(self._channel.give_back)
        if span is not None:
            self._channel.own(asyncio.create_task(_end_with(span, call)))
        return call


async def _end_with(span: telemetry.Span, call: grpc.aio.Call) -> None:
    try:
        code = await call.code()
        span.set(telemetry.RPC_STATUS_CODE, code.name)
        if code is not grpc.StatusCode.OK:
            span.fail(code.name)
    finally:
        span.end()
