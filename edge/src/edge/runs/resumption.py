"""How interrupted runs go on when they are answered, and end when nobody is to answer them any more."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, cast

from dormouse.agent.v1.run_event_pb2 import CancelCause
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from redis.asyncio import Redis

from edge.redis_link import AWAY

from . import keys, metrics
from .answers import spell
from .interrupt_store import Found, InterruptStore, LeftRun
from .live_run import LiveRun
from .log_format import FORGET
from .model import OnDisconnect, RunStatus
from .replicas import Replicas
from .run_meta import RunMetas

SEEN_S = 3.0
"""How long a second call with the same answers waits for what the first one has set going."""

LOOK_AGAIN_S = 0.05

LEFT_AGE = timedelta(seconds=15)
"""A run that got answers so long ago and is nowhere to be seen was left, if its owner is gone."""

BATCH = 100

_log = logging.getLogger(__name__)


class Resumptions:
    """Brings answers to runs.

    A run goes on in three steps: its row and stored log say so (from here on nobody else takes the answers), a replica
    has it in memory, Redis says whose it is. Who dies behind the first step leaves a run that `adopt_left` finds.
    `go_on` executes a run here.
    """

    def __init__(
        self,
        store: InterruptStore,
        redis: Redis,
        replicas: Replicas,
        replica_id: str,
        *,
        is_here: Callable[[str], bool],
        go_on: Callable[[LiveRun], None],
    ) -> None:
        self._store = store
        self._redis = redis
        self._metas = RunMetas(redis)
        self._replicas = replicas
        self._replica_id = replica_id
        self._is_here = is_here
        self._go_on = go_on

    async def resume(
        self, tenant: str, run_id: str, answers: Mapping[str, Any], on_disconnect: OnDisconnect | None
    ) -> int:
        """See `RunEngine.resume`."""
        taken = await self._store.resume(
            tenant, run_id, spell(answers), owner=self._replica_id, on_disconnect=on_disconnect
        )
        if (run := taken.run) is not None:
            metrics.RESUMPTIONS.labels("answered").inc()
            self._go_on(run)
            while not (run.visible or run.lost):
                await run.change()
        elif taken.is_running:
            await self.see(LeftRun(run_id, tenant, taken.epoch, taken.owner))
        return taken.after_seq

    async def see(self, run: LeftRun) -> None:
        """Returns when a run that has got answers can be followed, wherever it is executed; takes it if nobody does.

        Raises FUNCTION_UNAVAILABLE when that takes too long: its owner may have died a moment ago.
        """
        try:
            async with asyncio.timeout(SEEN_S):
                while not (await self._is_seen(run) or await self._adopt(run)):
                    await asyncio.sleep(LOOK_AGAIN_S)
        except TimeoutError:
            raise DormouseError(
                ErrorReason.ERROR_REASON_FUNCTION_UNAVAILABLE,
                f"Run {run.run_id} has its answers, but has not gone on yet; try again shortly.",
            ) from None

    async def cancel(self, tenant: str, run_id: str, cause: CancelCause.ValueType) -> Found | None:
        """Ends the run if it waits for answers; returns it as it was found. None: there is no such run."""
        found = await self._store.cancel(tenant, run_id, cause)
        if found is not None and found.status is RunStatus.INTERRUPTED:
            metrics.RESUMPTIONS.labels("cancelled").inc()
            try:
                # From now on all of it is in Postgres.
                await cast("Awaitable[int]", self._redis.eval(FORGET, 2, keys.log(run_id), keys.meta(run_id)))
            except AWAY as error:
                _log.debug("redis still says that a run waits for answers", extra={"cause": repr(error)})
        return found

    async def adopt_left(self, gone: str | None = None) -> None:
        """Goes on with runs that were left between their answers and their execution; of one replica, or of all gone.

        Raises DATABASE_UNAVAILABLE, CACHE_UNAVAILABLE.
        """
        for run in await self._store.left(timedelta() if gone else LEFT_AGE, BATCH):
            if run.owner == gone or gone is None:
                await self._adopt(run, is_gone=run.owner == gone)

    async def _adopt(self, run: LeftRun, *, is_gone: bool = False) -> bool:
        if not is_gone and not self._replicas.is_gone(run.owner):
            return False
        if self._is_here(run.run_id) or await self._epoch_in_redis(run) >= run.epoch:
            return False
        adopted = await self._store.adopt(run, self._replica_id)
        if adopted is None:
            return False
        metrics.RESUMPTIONS.labels("adopted").inc()
        _log.info("goes on with a run that was left with its answers", extra={"run_id": run.run_id})
        self._go_on(adopted)
        while not (adopted.visible or adopted.lost):
            await adopted.change()
        return True

    async def _is_seen(self, run: LeftRun) -> bool:
        if self._is_here(run.run_id):
            return True
        try:
            return await self._epoch_in_redis(run) >= run.epoch
        except DormouseError:
            return True  # it goes on without Redis, where nobody else can see it

    async def _epoch_in_redis(self, run: LeftRun) -> int:
        meta = await self._metas.get(run.tenant, run.run_id)
        return int(meta[b"epoch"]) if meta else 0
