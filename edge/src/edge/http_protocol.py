"""HTTP/1.1 as uvicorn speaks it, with the limits and the error shape that it lacks."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from .connections import ConnectionCounter
from .errors import ApiError
from .metrics import CUT_OFF

HEAD_LIMIT: Final = 64 * 1024
"""Bytes of a request's head; httptools itself would take any number."""

HEAD_TIMEOUT_S: Final = 20.0
"""A connection that has begun a request, or not even that, must complete the head within this time."""

TRAILER_LIMIT: Final = 8 * 1024
"""Bytes of header lines behind a body in chunks. They are dropped: what they say is too late to be true."""

PIPELINE_LIMIT: Final = 64
"""Requests that may wait on one connection for the answers before theirs."""

BODY_CHECK_S: Final = 20.0
WRITE_CHECK_S: Final = 60.0
"""How often it is looked at how far a body has come, and how far an answer has gone."""

BYTES_PER_S: Final = 500
"""Whoever sends or takes less than this is cut off. Time in which we do not read or have nothing to say counts not."""

_UNHEARD_MS: Final = 60_000
"""A client that acknowledges nothing for so long is gone (TCP_USER_TIMEOUT, RFC 5482; Linux only)."""


class EdgeHttpProtocol(HttpToolsProtocol):
    """Refuses endless and endlessly slow requests, readers that do not read, and too many connections of one address.

    It says what is wrong in OpenAI's shape, where nothing else is being said.
    """

    _in_head = True
    _is_head_too_long = False
    _is_hopeless = False
    _is_counted = False
    _head_bytes = 0
    _trailer_bytes = 0
    _body_bytes = 0
    _was_paused = False
    _unsent = 0
    _answering: RequestResponseCycle | None = None
    _head_timer: asyncio.TimerHandle | None = None
    _body_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, counter: ConnectionCounter | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._counter = counter

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._counter is not None and self.client is not None:
            self._is_counted = self._counter.enter(self.client[0])
            if not self._is_counted:
                CUT_OFF.labels("too many").inc()
                transport.abort()
                return
        _give_up_on_silence(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head_timer, self._body_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        if self._is_counted and self._counter is not None and self.client is not None:
            self._counter.leave(self.client[0])
        # uvicorn tells the request that came last only; while others are queued, that is not the one being answered.
        for cycle in (self._answering, *(queued for queued, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            if self._head_timer is None:
                self._await_head()
            self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head:
            if self._head_bytes > HEAD_LIMIT:
                self._refuse_head()
        else:
            self._was_paused |= self.flow.read_paused
            if self._body_timer is None:
                self._body_timer = self.loop.call_later(BODY_CHECK_S, self._check_body)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)
            return
        # Behind the body. In the request's headers it would pass for what a proxy has added.
        self._trailer_bytes += len(name) + len(value) + 4
        if self._trailer_bytes > TRAILER_LIMIT:
            raise ValueError("the parser then calls send_400_response")

    def on_headers_complete(self) -> None:
        if self._head_bytes > HEAD_LIMIT and _length(self.url, self.headers) > HEAD_LIMIT:
            self._is_head_too_long = True
            raise ValueError("the parser then calls send_400_response")  # it came whole, in one piece
        if len(self.pipeline) >= PIPELINE_LIMIT:
            self._is_hopeless = True
            raise ValueError("the parser then calls send_400_response")
        self._in_head = False
        self._head_bytes = self._body_bytes = self._trailer_bytes = 0
        self._was_paused = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head = True
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._see_it_closed()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._see_it_closed()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_write()

    def resume_writing(self) -> None:
        if self._write_timer is not None and not self.transport.is_closing():
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        if self._is_head_too_long:
            self._refuse_head()
        elif self._is_hopeless:
            CUT_OFF.labels("pipelining").inc()
            self.transport.close()
        else:
            self._refuse(400, "This is not valid HTTP.", "invalid_http")

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)

    def _give_up(self) -> None:
        self._head_timer = None
        if self.flow.read_paused:
            self._await_head()  # it is us who do not read: the answer to the request before is still under way
        elif self._in_head and not self.transport.is_closing():
            CUT_OFF.labels("slow head").inc()
            self._close()

    def _check_body(self) -> None:
        self._body_timer = None
        if self._in_head or self.transport.is_closing():
            return
        received, self._body_bytes = self._body_bytes, 0
        is_ours = self._was_paused or self.cycle.waiting_for_100_continue
        self._was_paused = self.flow.read_paused
        if is_ours or received >= BODY_CHECK_S * BYTES_PER_S:
            self._body_timer = self.loop.call_later(BODY_CHECK_S, self._check_body)
            return
        CUT_OFF.labels("slow body").inc()
        self._refuse(408, "The request's body came too slowly.", "request_timeout")

    def _watch_write(self) -> None:
        if self._write_timer is None:
            self._unsent = self.transport.get_write_buffer_size()
            self._write_timer = self.loop.call_later(WRITE_CHECK_S, self._check_write)

    def _check_write(self) -> None:
        self._write_timer = None
        before, self._unsent = self._unsent, self.transport.get_write_buffer_size()
        if before - self._unsent >= WRITE_CHECK_S * BYTES_PER_S:
            self._write_timer = self.loop.call_later(WRITE_CHECK_S, self._check_write)
            return
        CUT_OFF.labels("slow reader").inc()
        self.transport.abort()

    def _refuse_head(self) -> None:
        self._refuse(431, "The request's head is too long.", "headers_too_large")

    def _refuse(self, status: int, message: str, code: str) -> None:
        if self._may_speak():
            body = ApiError(status, message, code=code).body()
            self.transport.write(
                STATUS_LINE[status]
                + b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
                + body
            )
        self._close()

    def _may_speak(self) -> bool:
        """Whether what is said now would be taken for the answer to the request that is wrong."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return True
        return not (self._in_head or cycle.response_started or self.pipeline)

    def _close(self) -> None:
        self.transport.close()
        self._see_it_closed()

    def _see_it_closed(self) -> None:
        """A transport that closes sends first what it still has, for as long as that may take."""
        if self.transport.is_closing():
            self._watch_write()


def _give_up_on_silence(transport: asyncio.Transport) -> None:
    wire = transport.get_extra_info("socket")
    if hasattr(socket, "TCP_USER_TIMEOUT") and wire is not None and wire.family in (socket.AF_INET, socket.AF_INET6):
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNHEARD_MS)


def _length(url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> int:
    """Bytes of a head on the wire, but for its method and blanks."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
