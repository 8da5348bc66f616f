"""Stops runs wherever they are: here, at another replica, on the way from one to the other, or waiting for answers."""

import asyncio
import contextlib

from dormouse.agent.v1.run_event_pb2 import CancelCause
from dormouse_runtime.errors import DormouseError
from redis.asyncio import Redis

from edge.redis_link import AWAY

from . import keys
from .executions import Executions
from .model import RunStatus
from .orphans import Orphans
from .replicas import Orders
from .resumption import Resumptions
from .run_lookup import not_found
from .run_meta import RunMetas, redis_away, status_of

WAIT_S = 2.0
"""How long a run that changes hands may be nowhere."""

AGAIN_S = 0.05


class Cancellations:
    """Whoever executes a run ends it; whoever is asked ends one that nobody executes."""

    def __init__(
        self,
        redis: Redis,
        orders: Orders,
        orphans: Orphans,
        resumptions: Resumptions,
        executions: Executions,
    ) -> None:
        self._redis = redis
        self._metas = RunMetas(redis)
        self._orders = orders
        self._orphans = orphans
        self._resumptions = resumptions
        self._executions = executions

    async def order(self, tenant: str, run_id: str, cause: CancelCause.ValueType) -> None:
        """Tells whoever executes the run to stop it. One that has ended stays as it is.

        Errors: RUN_NOT_FOUND; CACHE_UNAVAILABLE when only Redis could tell who that is; DATABASE_UNAVAILABLE.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                while not await self._is_told(tenant, run_id, cause):
                    await asyncio.sleep(AGAIN_S)

    async def cancel_interrupted(self, tenant: str, run_id: str, cause: CancelCause.ValueType) -> RunStatus | None:
        """Ends the run if it waits for answers; returns the status it was found in. None: there is no such run."""
        found = await self._resumptions.cancel(tenant, run_id, cause)
        if found is not None and found.thread_id and found.status is RunStatus.INTERRUPTED:
            self._executions.look(found.thread_id)
            with contextlib.suppress(*AWAY):
                await self._redis.publish(keys.THREADS_CHANNEL, found.thread_id)
        return found.status if found else None

    async def _is_told(self, tenant: str, run_id: str, cause: CancelCause.ValueType) -> bool:
        """False: the run is on its way from one owner to the next, who does not know it yet."""
        if execution := self._executions.find(run_id, tenant):
            execution.cancel(cause)
            return execution.run.status is not RunStatus.INTERRUPTED
        try:
            meta = await self._metas.get(tenant, run_id)
        except DormouseError:
            # What waits for answers is in Postgres.
            if await self.cancel_interrupted(tenant, run_id, cause) is not RunStatus.INTERRUPTED:
                raise
            return True
        if meta is not None and status_of(meta).is_active:
            try:
                # For whoever takes the run over, should its owner be gone.
                await self._redis.hset(keys.meta(run_id), "cancel", int(cause))
                await self._orders.send_cancel(meta[b"owner"].decode(), run_id, int(cause))
            except AWAY as error:
                raise redis_away() from error
            return True
        if meta is not None and status_of(meta) is not RunStatus.INTERRUPTED:
            return True
        found = await self.cancel_interrupted(tenant, run_id, cause)
        if found is None and meta is None:
            raise not_found(run_id)
        return found is None or not found.is_active or await self._orphans.bury(tenant, run_id)
