"""Reads server-sent events as they come, over connections that gevent's patched sockets carry.

Not Locust's FastHttpUser: its reader waits for a whole block of bytes, which would make every token as late as the last
one in its block.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

BLOCK = 65536


class TransportError(Exception):
    """What went wrong on the way; `kind` is a short name to count it by."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(detail or kind)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Event:
    """One event, or with `comment` a line for people. `at` is the clock when its last byte was there."""

    name: str
    data: bytes
    comment: str
    at: float


class Connection:
    """One connection that is kept between requests, as a browser's would be."""

    def __init__(self, url: str, *, headers: dict[str, str], timeout_s: float) -> None:
        parts = urlsplit(url)
        host, self._headers, self._base = parts.hostname or "", headers, parts.path.rstrip("/")
        self._http: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self._http = http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)
        else:
            self._http = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)

    def close(self) -> None:
        """The next request opens it anew."""
        self._http.close()

    def call(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
        """A request with a short answer. Raises TransportError unless it is 2xx."""
        response = self._send(method, path, body, kind)
        return self._guarded(response.read)

    def events(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> Iterator[Event]:
        """A request whose answer is a stream of events. Raises TransportError, also when the stream is torn."""
        response = self._send(method, path, body, kind)
        if "text/event-stream" not in (response.headers.get("content-type") or ""):
            self.close()
            raise TransportError("no_stream", "the answer is no stream of events")
        rest = b""
        whole = False
        try:
            while block := self._guarded(lambda: response.read1(BLOCK)):
                at = time.perf_counter()
                *blocks, rest = (rest + block).split(b"\n\n")
                for text in blocks:
                    yield _event(text, at)
            whole = True
        finally:
            if not whole:
                self.close()  # what is left of this answer would be taken for the next one's
        if rest.strip():
            raise TransportError("torn", "the stream ends in the middle of an event")

    def _send(self, method: str, path: str, body: bytes, kind: str) -> http.client.HTTPResponse:
        headers = {**self._headers, "Content-Type": kind}
        for last in (False, True):
            fresh = self._http.sock is None
            try:
                self._http.request(method, self._base + path, body or None, headers)
                response = self._http.getresponse()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                # A kept connection may have been closed while it was idle: the request has not been read then.
                self.close()
                if fresh or last:
                    raise TransportError("disconnected", str(error)) from error
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise TransportError(_kind(error), str(error)) from error
            else:
                break
        if response.status >= 300:
            text = self._guarded(response.read)
            raise TransportError(f"http_{response.status}", text[:200].decode(errors="replace"))
        return response

    def _guarded(self, read: object) -> bytes:
        try:
            return bytes(read())  # type: ignore[operator]
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise TransportError(_kind(error), str(error)) from error


def _kind(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "torn" if isinstance(error, http.client.HTTPException | ConnectionError) else "network"


def _event(text: bytes, at: float) -> Event:
    name, comment, data = "", "", []
    for line in text.split(b"\n"):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif line.startswith(b"event:"):
            name = line[6:].strip().decode()
        elif line.startswith(b":"):
            comment = line[1:].strip().decode(errors="replace")
    return Event(name, b"\n".join(data), comment, at)
