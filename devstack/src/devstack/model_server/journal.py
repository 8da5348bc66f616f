"""The log of requests: what state each is in, when it got there, and a way to wait for it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

QUEUED, LOADING, PREFILLING, STREAMING = "queued", "loading", "prefilling", "streaming"
DONE, ABORTED, FAILED = "done", "aborted", "failed"
ENDED = frozenset({DONE, ABORTED, FAILED})


class Entry:
    """One request for an answer. `aborted` means that the client left before the answer was complete."""

    __slots__ = (
        "body",
        "endpoint",
        "fault",
        "headers",
        "id",
        "model",
        "prompt_tokens",
        "reason",
        "state",
        "stream",
        "times",
        "tokens",
        "tokens_sent",
    )

    def __init__(self, number: int, endpoint: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self.id = number
        self.endpoint = endpoint
        self.body = body
        self.headers = {name: headers[name] for name in ("x-request-id", "traceparent") if name in headers}
        self.model = str(body.get("model") or "")
        self.stream = body.get("stream") is not False
        self.state = QUEUED
        self.times: dict[str, float] = {QUEUED: time.time()}
        self.tokens = 0
        self.tokens_sent = 0
        self.prompt_tokens = 0
        self.reason = ""
        self.fault = ""

    def summary(self) -> dict[str, Any]:
        """What the log shows of it; times are unix seconds at which each state began."""
        messages = self.body.get("messages")
        last: Any = messages[-1] if isinstance(messages, list) and messages else {}
        return {
            "id": self.id,
            "endpoint": self.endpoint,
            "model": self.model,
            "stream": self.stream,
            "state": self.state,
            "reason": self.reason,
            "fault": self.fault,
            "times": self.times,
            "tokens": self.tokens,
            "tokens_sent": self.tokens_sent,
            "prompt_tokens": self.prompt_tokens,
            "messages": len(messages) if isinstance(messages, list) else 0,
            "last_role": last.get("role", "") if isinstance(last, dict) else "",
            "last_content": str(last.get("content") or "")[:200] if isinstance(last, dict) else "",
            "headers": self.headers,
        }


class Journal:
    """The newest `capacity` requests and whoever waits for one of them to change."""

    def __init__(self, capacity: int) -> None:
        self._entries: deque[Entry] = deque(maxlen=capacity)
        self._next = 1
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def open(self, endpoint: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Entry:
        """Enter a request that has just arrived."""
        entry = Entry(self._next, endpoint, body, headers)
        self._next += 1
        self._entries.append(entry)
        self.changed()
        return entry

    def enter(self, entry: Entry, state: str, reason: str = "") -> None:
        """Record that `entry` is now in `state`. An ended request stays as it ended."""
        if entry.state in ENDED:
            return
        entry.state = state
        entry.times[state] = time.time()
        if reason:
            entry.reason = reason
        self.changed()

    def changed(self) -> None:
        """Wake whoever has been waiting for what is now true. Cheap while nobody waits."""
        if self._waiters:
            for reached, future in self._waiters:
                if not future.done() and reached():
                    future.set_result(None)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def find(self, number: int) -> Entry | None:
        """The request with this id, if it is still in the log."""
        return next((entry for entry in self._entries if entry.id == number), None)

    def clear(self) -> None:
        """Forget every request; ids go on."""
        self._entries.clear()

    async def wait(self, reached: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `reached()` holds; false when it does not within `timeout_s` seconds."""
        if reached():
            return True
        waiter = (reached, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter[1]
        except TimeoutError:
            return False
        finally:
            self._waiters.remove(waiter)
        return True
