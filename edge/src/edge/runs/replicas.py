"""Which replicas live, which are gone, and the orders that go from one to another."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

from redis.asyncio import Redis

from edge.redis_link import AWAY, read_hash

from . import keys

HEARTBEATS_PER_LEASE = 5
RELEASED = b"released"
"""What a replica that stops in order leaves in place of its heartbeat: its runs are free at once."""

_log = logging.getLogger(__name__)


class Replicas:
    """This replica's heartbeat, and its watch over the others.

    A lease is observed, not timed by a shared clock: a replica counts as gone when its heartbeat has stood still for a
    whole lease while Redis answered here throughout. So an outage of Redis, which silences everybody, takes nobody's
    runs away.
    """

    def __init__(self, redis: Redis, replica_id: str, lease_s: float) -> None:
        self._redis = redis
        self._id = replica_id
        self._lease_s = lease_s
        self._beats: dict[bytes, tuple[bytes, float]] = {}  # replica → its last heartbeat, and when it was first seen
        self._last_present: dict[str, float] = {}
        self._watching_since: float | None = None
        self.peers = (0, 1)
        """Which of the live replicas this one is, counted from 0, and how many there are; as Redis said it last."""

    async def watch(self, on_gone: Callable[[str], Awaitable[None]]) -> None:
        """Beats, and calls `on_gone` for each replica that is gone and left runs, until cancelled."""
        beat = 0
        while True:
            beat += 1
            try:
                await self._redis.hset(keys.REPLICAS, self._id, str(beat))
                for replica_id in await self._gone():
                    await on_gone(replica_id)
            except AWAY as error:
                self._beats.clear()
                self._last_present.clear()
                self._watching_since = None
                _log.debug("no heartbeat", extra={"cause": repr(error)})
            await asyncio.sleep(self._lease_s / HEARTBEATS_PER_LEASE)

    def is_gone(self, replica_id: str) -> bool:
        """Whether a replica has given no sign of life for a whole lease in which Redis answered here throughout."""
        now = time.monotonic()
        if replica_id == self._id or self._watching_since is None or now - self._watching_since < self._lease_s:
            return False
        if known := self._beats.get(replica_id.encode()):
            beat, since = known
            return beat == RELEASED or now - since >= self._lease_s
        return now - self._last_present.get(replica_id, self._watching_since) >= self._lease_s

    async def release(self) -> None:
        """Says that this replica stops: others may take its runs at once."""
        try:
            if await self._redis.exists(keys.runs_of(self._id)):
                await self._redis.hset(keys.REPLICAS, self._id, RELEASED)
            else:
                await self._redis.hdel(keys.REPLICAS, self._id)
        except AWAY as error:
            _log.debug("cannot say that this replica stops", extra={"cause": repr(error)})

    async def remove(self, replica_id: str) -> None:
        """Forgets a replica that is gone and owns nothing any more."""
        await self._redis.hdel(keys.REPLICAS, replica_id)

    async def _gone(self) -> list[str]:
        now = time.monotonic()
        present = await read_hash(self._redis, keys.REPLICAS)
        self._watching_since = now if self._watching_since is None else self._watching_since
        self._last_present = {name: seen for name, seen in self._last_present.items() if now - seen < self._lease_s}
        self._last_present |= {replica.decode(): now for replica in self._beats.keys() - present.keys()}
        gone: list[str] = []
        for replica, beat in present.items():
            if replica.decode() == self._id:
                continue
            seen, since = self._beats.get(replica, (b"", now))
            if beat != seen:
                self._beats[replica] = (beat, now)
                since = now
            if beat == RELEASED or now - since >= self._lease_s:
                gone.append(replica.decode())
        self._beats = {replica: known for replica, known in self._beats.items() if replica in present}
        live = sorted({self._id, *(replica.decode() for replica in self._beats)} - set(gone))
        self.peers = (live.index(self._id), len(live))
        return gone


class Orders:
    """What replicas tell each other: to cancel a run, and that a thread has become free."""

    def __init__(self, redis: Redis, replica_id: str) -> None:
        self._redis = redis
        self._replica_id = replica_id

    async def send_cancel(self, owner: str, run_id: str, cause: int) -> bool:
        """Tells the owner of a run to cancel it. False: nobody listens there. Raises AWAY."""
        order = json.dumps({"run_id": run_id, "cause": cause})
        return bool(await self._redis.publish(keys.control_channel(owner), order))

    async def receive(self) -> AsyncGenerator[tuple[str, int] | str, None]:
        """Yields (run id, cause) for a run to cancel and a thread's id for a thread that is free; waits out outages."""
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as orders:
                    await orders.subscribe(keys.control_channel(self._replica_id), keys.THREADS_CHANNEL)
                    while True:
                        message = await orders.get_message(timeout=10)
                        if message is None:
                            continue
                        if message["channel"].decode() == keys.THREADS_CHANNEL:
                            yield message["data"].decode()
                        else:
                            order = json.loads(message["data"])
                            yield order["run_id"], order["cause"]
            except AWAY as error:
                _log.debug("cannot receive orders", extra={"cause": repr(error)})
                await asyncio.sleep(0.3)
