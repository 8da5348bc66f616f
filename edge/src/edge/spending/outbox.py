"""Charges in Redis, written together with the end of the run that they are for, until Postgres has them."""

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, cast

from redis.asyncio import Redis

from edge.redis_link import AWAY, Command

from .model import Charge

KEY: Final = "dm:charges"
"""Hash: the run's id → its charge."""

KEPT_S: Final = 7 * 24 * 3600
"""So long charges stay that no replica has come to write down."""

PAGE: Final = 200


def keep_commands(charge: Charge) -> list[Command]:
    """Keeps it. To be sent in front of the command that says that the run has ended."""
    return [("HSET", KEY, charge.id, charge.to_json()), ("EXPIRE", KEY, KEPT_S)]


class Outbox:
    """What replicas have left there, the living and the dead."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def keep(self, charge: Charge) -> None:
        """Keeps one that belongs to no run. While Redis is away nothing happens."""
        with contextlib.suppress(*AWAY):
            await cast("Any", self._redis.hset(KEY, charge.id, charge.to_json()))

    async def drop(self, charges: Sequence[Charge]) -> bool:
        """Forgets charges that Postgres has. False: Redis is away; they are settled once more, which changes nothing.

        One that was replaced by a later one of the same run stays.
        """
        pairs = [value for charge in charges for value in (charge.id, charge.to_json())]
        try:
            await cast("Any", self._redis.eval(_DROP, 1, KEY, *pairs))
        except AWAY:
            return False
        return True

    async def older(self, seconds: float) -> AsyncIterator[Sequence[Charge]]:
        """Charges of runs that ended so long ago, a page at a time. Ends early while Redis is away."""
        cursor, before = 0, time.time() - seconds
        while True:
            try:
                cursor, found = cast("tuple[int, dict[bytes, bytes]]", await self._redis.hscan(KEY, cursor, count=PAGE))
                unreadable: list[bytes] = []
                charges: list[Charge] = []
                for name, data in found.items():
                    try:
                        charges.append(Charge.from_json(data))
                    except ValueError:
                        unreadable.append(name)
                if unreadable:
                    await cast("Any", self._redis.hdel(KEY, *cast("list[str]", unreadable)))
            except AWAY:
                return
            if old := [charge for charge in charges if charge.at.timestamp() <= before]:
                yield old
            if not cursor:
                return


# Drops each entry that is still what was written down. ARGV: pairs of field and value.
_DROP: Final = """
for i = 1, #ARGV, 2 do
    if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
return 1
"""
