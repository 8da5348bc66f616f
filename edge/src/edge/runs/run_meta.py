"""What Redis says of a run beside its log."""

import contextlib
from collections.abc import Iterable

from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from redis.asyncio import Redis

from edge.redis_link import AWAY, Fields, read_hash

from . import keys
from .model import RunStatus


class RunMetas:
    """What is read is one tenant's, or CACHE_UNAVAILABLE while Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def get(self, tenant: str, run_id: str) -> Fields | None:
        """The fields, or None for a run that Redis does not know."""
        try:
            meta = await read_hash(self._redis, keys.meta(run_id))
        except AWAY as error:
            raise redis_away() from error
        return meta if meta.get(b"tenant") == tenant.encode() else None

    async def forget(self, run_ids: Iterable[str]) -> None:
        """Drops what is known of the runs, their logs too. While Redis is away nothing happens, and they expire."""
        with contextlib.suppress(*AWAY):
            for run_id in run_ids:
                await self._redis.delete(keys.meta(run_id), keys.log(run_id))


def status_of(meta: Fields) -> RunStatus:
    """The state that a run is in as far as Redis knows. One that was interrupted may have gone on: Postgres decides."""
    return RunStatus(meta[b"status"].decode())


def redis_away() -> DormouseError:
    """Only Redis could tell."""
    return DormouseError(
        ErrorReason.ERROR_REASON_CACHE_UNAVAILABLE, "The run is not executed here and its log cannot be reached now."
    )
