"""Follows the logs of runs that other replicas own, all of them over one connection."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from typing import Any, cast

from dormouse.agent.v1.run_event_pb2 import RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from redis.asyncio import Redis

from edge.redis_link import AWAY, StreamEntry, make_client, read_stream

from . import keys
from .events import is_terminal
from .log_format import read_entries
from .run_meta import redis_away

BLOCK_MS = 1000
"""How long one read waits; also how soon a hanging connection is noticed."""

SILENCE_S = 5.0
"""After so long without an entry a follower asks whether the run still exists."""

BUFFERED_ENTRIES = 1000
"""What may wait for a slow reader in memory; beyond that it reads from Redis again."""

RETRY_S = 0.3
UNBLOCK_AGAIN_S = 0.005

_log = logging.getLogger(__name__)


class _Follower:
    def __init__(self) -> None:
        self.entries: deque[StreamEntry] = deque()
        self.overflowed = False
        self.arrived = asyncio.Event()

    def push(self, entries: Sequence[StreamEntry]) -> None:
        if len(self.entries) + len(entries) > BUFFERED_ENTRIES:
            self.entries.clear()
            self.overflowed = True
        else:
            self.entries.extend(entries)
        self.arrived.set()


class LogReader:
    """One blocking read for every log that somebody here follows."""

    def __init__(self, redis_url: str, redis: Redis) -> None:
        self._redis = redis
        self._blocking = make_client(redis_url, max_connections=1, time_limit_s=BLOCK_MS / 1000 + 1)
        self._client_id: int | None = None
        self._followers: dict[str, set[_Follower]] = {}
        self._cursors: dict[str, str] = {}
        self._reading: dict[str, str] = {}
        self._wanted = asyncio.Event()

    async def follow(self, run_id: str, after: int = 0) -> AsyncGenerator[Sequence[RunEvent], None]:
        """Yields the logged events behind `after`, as they come; ends after the terminal event.

        While Redis is away it waits. Errors: RUN_NOT_FOUND when the log is gone.
        """
        key, follower = keys.log(run_id), _Follower()
        if after and await self._has_ended_by(key, after):
            return  # a client that comes back by itself, as EventSource does, after it has had everything
        self._followers.setdefault(key, set()).add(follower)
        # A takeover raises the epoch but not the numbers: entries of later epochs are always read and then filtered.
        self._cursors.setdefault(key, f"1-{after}")
        self._wanted.set()
        await self._have_read(key)
        follower.overflowed = True  # what the hub has already passed is read here, once
        try:
            while True:
                if follower.overflowed:
                    follower.overflowed = False
                    batch = await self._read_from(key, after)
                else:
                    batch = list(follower.entries)
                    follower.entries.clear()
                events = [event for entry in read_entries(batch) for event in entry.parsed() if event.seq > after]
                if events:
                    after = events[-1].seq
                    yield events
                    if is_terminal(events[-1]):
                        return
                elif not follower.entries and not follower.overflowed:
                    follower.arrived.clear()
                    try:
                        async with asyncio.timeout(SILENCE_S):
                            await follower.arrived.wait()
                    except TimeoutError:
                        await self._require(run_id)
                        follower.overflowed = True
        finally:
            followers = self._followers[key]
            followers.discard(follower)
            if not followers:
                del self._followers[key]
                del self._cursors[key]

    async def read_all(self, run_id: str) -> Sequence[RunEvent]:
        """The log as it stands. Errors: RUN_NOT_FOUND, CACHE_UNAVAILABLE."""
        try:
            stream = await read_stream(self._redis, keys.log(run_id))
        except AWAY as error:
            raise redis_away() from error
        if not stream:
            raise _expired(run_id)
        return [event for entry in read_entries(stream) for event in entry.parsed()]

    async def read(self) -> None:
        """Reads for all followers until cancelled."""
        while True:
            if not self._cursors:
                self._wanted.clear()
                await self._wanted.wait()
            try:
                if self._client_id is None:
                    self._client_id = await self._blocking.client_id()
                answer = await self._read_all()
            except AWAY as error:
                _log.debug("cannot read run logs", extra={"cause": repr(error)})
                self._client_id = None
                await asyncio.sleep(RETRY_S)
                continue
            for key, entries in answer:
                if key in self._cursors:
                    self._cursors[key] = entries[-1][0].decode()
                for follower in self._followers.get(key, ()):
                    follower.push(entries)

    async def close(self) -> None:
        """Closes the connection."""
        await self._blocking.aclose()

    async def _read_all(self) -> Sequence[tuple[str, Sequence[StreamEntry]]]:
        """What is new in any followed log, waiting for it up to BLOCK_MS. Raises AWAY."""
        self._reading = dict(self._cursors)
        answer = await self._blocking.xread(cast("dict[Any, Any]", self._reading), block=BLOCK_MS)
        found = cast("Sequence[tuple[bytes, Sequence[StreamEntry]]] | None", answer)
        return [(key.decode(), entries) for key, entries in found or ()]

    async def _read_from(self, key: str, after: int) -> Sequence[StreamEntry]:
        while True:
            try:
                return await read_stream(self._redis, key, f"(1-{after}")
            except AWAY:
                await asyncio.sleep(RETRY_S)

    async def _has_ended_by(self, key: str, seq: int) -> bool:
        """Whether the log's terminal event is in it and not behind `seq`.

        An interrupt behind which there is something already is none: a replica may have stored the answers and died
        before it told them here.
        """
        while True:
            try:
                last = await self._redis.xrevrange(key, count=1)
            except AWAY:
                await asyncio.sleep(RETRY_S)
                continue
            events = [event for entry in read_entries(cast("Sequence[StreamEntry]", last)) for event in entry.parsed()]
            if not events or not is_terminal(events[-1]):
                return False
            return events[-1].seq == seq or (events[-1].seq < seq and not events[-1].HasField("run_interrupted"))

    async def _require(self, run_id: str) -> None:
        try:
            exists = await self._redis.exists(keys.log(run_id))
        except AWAY:
            return
        if not exists:
            raise _expired(run_id)

    async def _have_read(self, key: str) -> None:
        """Sees to it that the read under way includes this log: one that began before is made to end."""
        try:
            while key not in self._reading and self._client_id is not None:
                await self._redis.client_unblock(self._client_id)
                await asyncio.sleep(UNBLOCK_AGAIN_S)  # it may not have reached Redis yet
        except AWAY as error:
            _log.debug("cannot hasten the log reader", extra={"cause": repr(error)})


def _expired(run_id: str) -> DormouseError:
    return DormouseError(ErrorReason.ERROR_REASON_RUN_NOT_FOUND, f"The log of run {run_id} has expired.")
