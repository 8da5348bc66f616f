"""One timer for all streams, so that a token costs no task and no timer of its own."""

from __future__ import annotations

import asyncio
import heapq
import time
from typing import Protocol

RESOLUTION_S = 0.001
_PER_SECOND = 1 / RESOLUTION_S


class Timed(Protocol):
    """Something that wants to be called again and again."""

    def step(self, now: float) -> float:
        """Do what is due at `now` (time.monotonic seconds); return when to be called next, 0 for never."""
        ...


class TimerWheel:
    """Calls each member when it is due, to the millisecond; members due in the same millisecond share a wake-up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[int, list[Timed]] = {}
        self._slots: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._armed = 0
        self._ticking = False

    def add(self, due: float, member: Timed) -> None:
        """Have `member.step` called at `due` (time.monotonic seconds)."""
        slot = int(due * _PER_SECOND + 0.5)
        bucket = self._buckets.get(slot)
        if bucket is not None:
            bucket.append(member)
            return
        self._buckets[slot] = [member]
        heapq.heappush(self._slots, slot)
        if not self._ticking and (self._timer is None or slot < self._armed):
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._slots:
            self._armed = self._slots[0]
            self._timer = self._loop.call_later(max(0.0, self._armed / _PER_SECOND - time.monotonic()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._ticking = True
        now = time.monotonic()
        # The loop's clock counts whole milliseconds, so it may wake this up to one of them early.
        reached = int(now * _PER_SECOND) + 1
        slots, buckets, add = self._slots, self._buckets, self.add
        try:
            while slots and slots[0] <= reached:
                for member in buckets.pop(heapq.heappop(slots)):
                    due = member.step(now)
                    if due:
                        # Never into the past of this round: a member that lags must not starve the loop.
                        add(due if due * _PER_SECOND > reached + 0.5 else (reached + 1) / _PER_SECOND, member)
        finally:
            self._ticking = False
            self._arm()
