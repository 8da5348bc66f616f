"""Contents of artifacts in Redis, in front of Postgres."""

import logging
import time
from typing import cast

from redis.asyncio import Redis

from edge.redis_link import AWAY

TTL_S = 600

AGAIN_S = 1.0
"""After a failure Redis is left alone for so long: one that hangs must not delay every answer."""

_log = logging.getLogger(__name__)


class ArtifactCache:
    """What a key names never changes, so there is nothing to invalidate. A Redis that is away is a miss."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._away_until = 0.0

    async def get(self, key: str) -> str | None:
        """The content, or None."""
        if time.monotonic() < self._away_until:
            return None
        try:
            data = cast("bytes | None", await self._redis.get(key))
        except AWAY as error:
            self._note(error)
            return None
        return None if data is None else data.decode()

    async def put(self, key: str, content: str) -> None:
        """Keeps a content for a while."""
        if time.monotonic() < self._away_until:
            return
        try:
            await self._redis.set(key, content.encode(), ex=TTL_S)
        except AWAY as error:
            self._note(error)

    def _note(self, error: Exception) -> None:
        self._away_until = time.monotonic() + AGAIN_S
        _log.debug("the cache of artifacts is away", extra={"cause": repr(error)})
