"""Takes runs from a replica that is gone."""

import logging
from collections.abc import AsyncIterator
from typing import cast

from google.protobuf.message import DecodeError
from redis.asyncio import Redis

from edge.redis_link import read_hash, read_stream

from . import keys
from .live_run import LiveRun
from .log_format import LIVE_TTL_S, TAKE_OVER, read_live_run

_log = logging.getLogger(__name__)


async def take_over(redis: Redis, gone: str, me: str) -> AsyncIterator[tuple[LiveRun, int | None]]:
    """Yields each run that this replica now owns, and the CancelCause where somebody has asked for its end.

    Other replicas may be at the same; each run goes to one of them. Raises AWAY.
    """
    left, mine = keys.runs_of(gone), keys.runs_of(me)
    for raw_id in cast("set[bytes]", await redis.smembers(left)):
        run_id = raw_id.decode()
        log, meta = keys.log(run_id), keys.meta(run_id)
        # Noted first: should this replica die in between, whoever follows it looks here.
        await redis.sadd(mine, run_id)
        epoch = int(await redis.eval(TAKE_OVER, 2, log, meta, gone, me, LIVE_TTL_S))
        if epoch:
            fields = await read_hash(redis, meta)
            try:
                run = read_live_run(run_id, fields, epoch, await read_stream(redis, log))
            except (KeyError, ValueError, DecodeError):
                _log.exception("a run that was left cannot be read", extra={"run_id": run_id})
            else:
                cancel = fields.get(b"cancel")
                yield run, None if cancel is None else int(cancel)
        else:
            await redis.srem(mine, run_id)
        await redis.srem(left, run_id)
