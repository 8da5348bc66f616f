"""Refuses request bodies that are too long, announced or not, before they are held in memory."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.errors import ApiError

LINGER_BYTES: Final = 64 * 1024 * 1024
LINGER_S: Final = 5.0
"""After a refusal so much of the body is still read and dropped: closing at once would reset the connection, and the
client might lose the answer that says why."""


class BodyTooLongError(Exception):
    """Raised inside the application by its `receive`."""


class BodyLimitMiddleware:
    """Answers 413 to a request whose body is too long: as `limits` says of its method and path, else `limit` bytes."""

    def __init__(self, app: ASGIApp, limit: int, limits: Mapping[tuple[str, str], int] | None = None) -> None:
        self._app = app
        self._limit = limit
        self._limits = limits or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits.get((scope["method"], scope["path"]), self._limit)
        announced, waits_for_consent = _announcement(scope)
        if announced > limit:
            await self._refuse(limit, receive, send, linger=not waits_for_consent)
            return
        received = 0

        async def limited_receive() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    raise BodyTooLongError
            return message

        try:
            await self._app(scope, limited_receive, send)
        except BodyTooLongError:  # bodies are read before anything is answered
            await self._refuse(limit, receive, send)

    async def _refuse(self, limit: int, receive: Receive, send: Send, *, linger: bool = True) -> None:
        error = ApiError(
            413,
            f"The request body is longer than {limit} bytes.",
            code="request_too_large",
            headers={"connection": "close"},
        )
        response = error.response()
        await send({"type": "http.response.start", "status": error.status, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        if linger:
            await _drop_body(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _announcement(scope: Scope) -> tuple[int, bool]:
    """The body's announced length, and whether the client sends it only after `100 Continue`."""
    length, expects = 0, False
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            length = int(value)
        elif name == b"expect":
            expects = True
    return length, expects


async def _drop_body(receive: Receive) -> None:
    dropped, deadline = 0, time.monotonic() + LINGER_S
    try:
        async with asyncio.timeout(LINGER_S):
            while dropped < LINGER_BYTES and time.monotonic() < deadline:
                message = await receive()
                dropped += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return
