"""What replicas tell each other of windows that are being used up, for the moment when they can only ask themselves.

Nothing depends on it while Redis is here. When it goes away, a client may move to a replica that has never seen its
windows; that one knows of them from the others.
"""

import asyncio
import logging
import secrets
from typing import Final

import orjson

from edge.redis_link import AWAY, make_client

from .link import LimitsLink
from .local_share import LocalShare

CHANNEL: Final = "dm:limits"
EVERY_S: Final = 0.5
MOST: Final = 2000
"""Windows in one message."""

AGAIN_S: Final = 0.5
PATIENCE_S: Final = 10

_log = logging.getLogger(__name__)


class News:
    """Both directions of one replica."""

    def __init__(self, redis_url: str, link: LimitsLink, local: LocalShare) -> None:
        self._redis_url = redis_url
        self._link = link
        self._local = local
        self._id = secrets.token_hex(8)

    async def tell(self) -> None:
        """Tells the others, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            if news := self._local.news(MOST):
                try:
                    await self._link.do("PUBLISH", CHANNEL, orjson.dumps((self._id, news)))
                except AWAY as error:
                    _log.debug("cannot tell of windows", extra={"cause": repr(error)})

    async def listen(self) -> None:
        """Hears of the others, until cancelled; waits out outages."""
        async with make_client(self._redis_url, max_connections=1) as redis:
            while True:
                try:
                    async with redis.pubsub(ignore_subscribe_messages=True) as channel:
                        await channel.subscribe(CHANNEL)
                        while True:
                            message = await channel.get_message(timeout=PATIENCE_S)
                            if message is not None:
                                self._hear(message["data"])
                except AWAY as error:
                    _log.debug("cannot hear of windows", extra={"cause": repr(error)})
                    await asyncio.sleep(AGAIN_S)

    def _hear(self, data: bytes) -> None:
        sender, news = orjson.loads(data)
        if sender != self._id:
            self._local.hear(news)
