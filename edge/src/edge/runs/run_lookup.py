"""Where a run that is not executed here is to be found: in Redis, or in Postgres.

Redis knows best what happens to a run, except while it waits for answers: what becomes of it then, Postgres decides,
and Redis learns of it later or never. What Redis has let expire, Postgres has whole.
"""

from collections.abc import Sequence

from dormouse.agent.v1.run_event_pb2 import RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

from edge.redis_link import Fields

from .durable_log import unpack
from .events import is_terminal
from .interrupt_store import LeftRun
from .log_format import read_record
from .model import RunRecord, RunStatus
from .orphans import Orphans
from .resumption import Resumptions
from .run_meta import RunMetas, status_of
from .run_store import RunStore


class RunLookup:
    """Every method sees one tenant's runs."""

    def __init__(self, store: RunStore, metas: RunMetas, orphans: Orphans, resumptions: Resumptions) -> None:
        self._store = store
        self._metas = metas
        self._orphans = orphans
        self._resumptions = resumptions

    async def record(self, tenant: str, run_id: str) -> RunRecord:
        """The run as it stands. Errors: RUN_NOT_FOUND, DATABASE_UNAVAILABLE."""
        meta, _ = await self._meta(tenant, run_id)
        in_redis = read_record(run_id, meta) if meta else None
        if in_redis is not None and in_redis.status is not RunStatus.INTERRUPTED:
            return in_redis
        try:
            row = await self._store.row(tenant, run_id)
        except DormouseError:
            if in_redis is None:
                raise
            return in_redis
        if row is None:
            raise not_found(run_id)
        if not row.record.status.is_active:
            return row.record
        if meta and in_redis is not None and row.epoch <= int(meta[b"epoch"]):
            return in_redis  # its owner has not reached the database yet
        if await self._orphans.bury(tenant, run_id):
            return await self._store.get(tenant, run_id) or row.record
        return row.record

    async def stored_log(self, tenant: str, run_id: str) -> Sequence[RunEvent] | None:
        """The run's log, from Postgres; None: it is to be read from Redis.

        A log that does not end with a terminal event can be followed in Redis from there on. Errors: RUN_NOT_FOUND;
        CACHE_UNAVAILABLE and DATABASE_UNAVAILABLE when only the one or the other could tell.
        """
        meta, away = await self._meta(tenant, run_id)
        if meta and status_of(meta) is not RunStatus.INTERRUPTED:
            return None
        try:
            kept = await self._store.log(tenant, run_id)
        except DormouseError as error:
            if meta:
                return None
            raise away or error from None
        if kept is None or kept.data is None:
            if meta:
                return None
            raise away or (not_found(run_id) if kept is None else _expired(run_id))
        events = unpack(kept.data)
        if not is_terminal(events[-1]):
            if away is not None:
                raise away
            await self._resumptions.see(LeftRun(run_id, tenant, kept.epoch, kept.owner))
        return events

    async def _meta(self, tenant: str, run_id: str) -> tuple[Fields | None, DormouseError | None]:
        try:
            return await self._metas.get(tenant, run_id), None
        except DormouseError as error:
            return None, error


def not_found(run_id: str) -> DormouseError:
    """The tenant has no such run."""
    return DormouseError(ErrorReason.ERROR_REASON_RUN_NOT_FOUND, f"There is no run {run_id}.")


def _expired(run_id: str) -> DormouseError:
    return DormouseError(ErrorReason.ERROR_REASON_RUN_NOT_FOUND, f"The log of run {run_id} has expired.")
