"""HTTP/1.1 as uvicorn speaks it, with the limits and the error shape that it lacks."""

import asyncio
from collections.abc import Sequence
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from .errors import ApiError

HEAD_LIMIT: Final = 64 * 1024
"""Bytes of a request's head; httptools itself would take any number."""

HEAD_TIMEOUT_S: Final = 20.0
"""A connection that has begun a request, or not even that, must complete the head within this time."""


class EdgeHttpProtocol(HttpToolsProtocol):
    """Refuses endless and endlessly slow heads, and says what is wrong with broken HTTP in OpenAI's shape."""

    _in_head = True
    _is_head_too_long = False
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._in_head:
            super().data_received(data)
            return
        if self._head_timer is None:
            self._await_head()
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_LIMIT and not self.transport.is_closing():
            self._refuse_head()

    def on_headers_complete(self) -> None:
        if self._head_bytes > HEAD_LIMIT and _length(self.url, self.headers) > HEAD_LIMIT:
            self._is_head_too_long = True
            raise ValueError("the parser then calls send_400_response")  # it came whole, in one piece
        self._in_head = False
        self._head_bytes = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if self._is_head_too_long:
            self._refuse_head()
        else:
            self._refuse(400, "This is not valid HTTP.", "invalid_http")

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)

    def _give_up(self) -> None:
        self._head_timer = None
        if self._in_head and not self.transport.is_closing():
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse_head(self) -> None:
        self._refuse(431, "The request's head is too long.", "headers_too_large")

    def _refuse(self, status: int, message: str, code: str) -> None:
        body = ApiError(status, message, code=code).body()
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            + body
        )
        self.transport.close()


def _length(url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> int:
    """Bytes of a head on the wire, but for its method and blanks."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
