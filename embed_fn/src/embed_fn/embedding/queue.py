"""Texts that wait for the model, and the next batch out of them: fair between tenants, in order within one."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Final

from embed_fn.embedding.port import Item

# Bytes for each token, about: only bounds and shares depend on it.
_BYTES_PER_TOKEN: Final = 4


@dataclass(eq=False, slots=True)
class Waiting:
    """A text and the promise of its vector. size: estimated tokens. Cancelling the promise withdraws the text.

    context: who asked, for the trace.
    """

    text: str
    size: int
    promise: asyncio.Future[Item]
    context: Context = field(default_factory=copy_context)


def estimated_tokens(text: str) -> int:
    """At least 1."""
    return 1 + len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN


class FairQueue:
    """Gives the tenant whose turn cost least so far the next place in a batch (start-time fair queueing).

    A tenant that comes anew starts where the others are: it gets no credit for the time before.
    """

    def __init__(self) -> None:
        self._lines: dict[str, deque[Waiting]] = {}
        self._cost: dict[str, int] = {}
        self._now = 0
        self.size = 0
        """Estimated tokens that wait."""

    def put(self, tenant: str, waiting: Waiting) -> None:
        """At the end of the tenant's line."""
        line = self._lines.get(tenant)
        if line is None:
            line = self._lines[tenant] = deque()
            self._cost[tenant] = max(self._cost.get(tenant, 0), self._now)
        line.append(waiting)
        self.size += waiting.size

    def take(self, most_inputs: int, most_tokens: int) -> list[Waiting]:
        """The next batch: at least one text if any waits, at most so many, and so many tokens unless one has more."""
        batch: list[Waiting] = []
        tokens = 0
        while self._lines and len(batch) < most_inputs:
            tenant = min(self._lines, key=self._cost.__getitem__)
            line = self._lines[tenant]
            first = line[0]
            withdrawn = first.promise.done()
            if not withdrawn and batch and tokens + first.size > most_tokens:
                break
            line.popleft()
            self.size -= first.size
            if not withdrawn:
                batch.append(first)
                tokens += first.size
                self._now = self._cost[tenant]
                self._cost[tenant] += first.size
            if not line:
                del self._lines[tenant]
        if not self._lines:
            self._forget()
        return batch

    def _forget(self) -> None:
        """Nobody waits, so nobody is ahead of anybody."""
        self._cost.clear()
        self._now = 0
