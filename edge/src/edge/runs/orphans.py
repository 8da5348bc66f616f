"""Runs whose row says that they go on, although nobody executes them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from redis.asyncio import Redis

from edge.redis_link import AWAY, Fields, read_stream
from edge.spending.model import Charge, part_of

from . import keys
from .durable_log import pack_log
from .ends import EndedRun, OnEnd, ended, tell
from .log_format import read_live_run
from .model import RunError, RunStatus
from .replicas import Replicas
from .run_meta import RunMetas, status_of
from .run_rows import LostError, RunEnd
from .run_store import RunStore

AGE = timedelta(seconds=10)
"""A run younger than this may not have reached Redis yet."""


class Orphans:
    """Ends their rows. `can_tell`: whether Redis is here, and a run that it does not know is lost indeed."""

    def __init__(
        self,
        store: RunStore,
        redis: Redis,
        replicas: Replicas,
        *,
        is_here: Callable[[str], bool],
        can_tell: Callable[[], bool],
        on_end: Sequence[OnEnd] = (),
    ) -> None:
        self._store = store
        self._redis = redis
        self._replicas = replicas
        self._metas = RunMetas(redis)
        self._is_here = is_here
        self._can_tell = can_tell
        self._on_end = on_end

    async def bury(self, tenant: str, run_id: str) -> bool:
        """Ends the row of a run that nobody executes. False: somebody may, or it has ended.

        Raises DATABASE_UNAVAILABLE.
        """
        if self._is_here(run_id) or not self._can_tell():
            return False
        try:
            meta = await self._metas.get(tenant, run_id)
        except DormouseError:
            return False
        if meta is not None:
            return await self._write_down(tenant, run_id, meta)
        row = await self._store.row(tenant, run_id)
        if row is None or not row.record.status.is_active:
            return False
        # One that has got answers is gone on with: see Resumptions.
        if datetime.now(UTC) - row.record.created_at < AGE or row.resumed_at is not None:
            return False
        reason = ErrorReason.ERROR_REASON_FUNCTION_UNAVAILABLE
        error = RunError(reason, "The replica that executed this run is gone, and its log is lost.", retryable=True)
        failed = replace(row.record, status=RunStatus.FAILED, error=error)
        if not await self._finish(RunEnd(failed, row.epoch)):
            return False
        # Nobody knows what it has used up; what was held back for it is free.
        charge = Charge(
            run_id, tenant, row.user, row.key_id, failed.agent_id, datetime.now(UTC), part=part_of(row.epoch)
        )
        tell(self._on_end, EndedRun(run_id, tenant, row.user, row.key_id, failed.status, charge))
        return True

    async def _write_down(self, tenant: str, run_id: str, meta: Fields) -> bool:
        """Writes down the end that is in Redis, of a run whose owner died before the database was back."""
        if status_of(meta).is_active or not self._replicas.is_gone(meta[b"owner"].decode()):
            return False
        row = await self._store.row(tenant, run_id)
        epoch = int(meta[b"epoch"])
        if row is None or not row.record.status.is_active or row.epoch > epoch:
            return False
        try:
            run = read_live_run(run_id, meta, epoch, await read_stream(self._redis, keys.log(run_id)))
        except AWAY:
            return False
        if not run.has_ended:
            return False
        end = run.entries[-1].parsed()[-1]
        written = RunEnd(
            run.record(),
            epoch,
            cause=end.run_cancelled.cause if end.HasField("run_cancelled") else None,
            partial=run.account.partial_messages({interrupt.tool_call_id for interrupt in run.interrupts}),
            base_checkpoint=run.base_checkpoint,
            log=await pack_log(run),
        )
        if not await self._finish(written):
            return False
        tell(self._on_end, ended(run))
        return True

    async def _finish(self, end: RunEnd) -> bool:
        try:
            await self._store.finish(end)
        except LostError:
            return False
        return True
