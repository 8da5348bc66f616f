"""The run engine as the public surfaces use it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

from dormouse.agent.v1.run_event_pb2 import CancelCause, RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from redis.asyncio import Redis

from edge.artifacts.store import ArtifactStore
from edge.database import Database
from edge.redis_link import make_client

from . import metrics
from .agent_client import AgentClient
from .cancellation import Cancellations
from .chores import Chores
from .ends import OnEnd
from .events import is_terminal
from .execution import Means, RetryPolicy
from .executions import Executions
from .gate import Gate, OpenGate
from .interrupt_store import InterruptStore
from .live_run import LiveRun
from .log_reader import LogReader
from .log_writer import LogWriter
from .model import MultitaskStrategy, OnDisconnect, RunPage, RunRecord, RunSpec, RunStatus
from .model_wait import ModelWait
from .orphans import Orphans
from .ownership import Ownership, begin_ownership
from .replicas import Orders, Replicas
from .resumption import Resumptions
from .retention import keep_pruning
from .run_lookup import RunLookup
from .run_meta import RunMetas
from .run_rows import Admission
from .run_store import RunStore, with_artifacts
from .takeover import take_over

CANCEL_WAIT_S = 2.0
"""How long an answer to `cancel` waits for the run's end."""

SWEEP_S = 15.0
"""How often runs are looked for that were left with their answers."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What the operator decides about runs."""

    redis_url: str
    replica_id: str
    """Unique to this process: a replica that is restarted is another one."""
    run_log_ttl_s: int
    """How long the log of a run that has ended stays."""
    lease_s: float
    """After so long without a heartbeat another replica takes a replica's runs over."""
    run_log_days: float = 30
    """How long the log of a stored run stays in Postgres."""
    model_wake_s: float = 0
    """How long a run waits for a model server that is not there. 0: as long as for one that fails."""


@asynccontextmanager
async def open_engine(
    settings: EngineSettings,
    agent: AgentClient,
    database: Database,
    artifacts: ArtifactStore,
    on_end: Sequence[OnEnd] = (),
    gate: Gate | None = None,
) -> AsyncIterator["RunEngine"]:
    """The engine, with its background tasks running. On exit, runs that have not ended are left to other replicas.

    on_end: who hears of each run that ends here, or is interrupted. gate: what runs have to pass; None: nothing.
    """
    redis = make_client(settings.redis_url)
    engine = RunEngine(settings, agent, database, artifacts, redis, on_end, gate or OpenGate())
    try:
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(_keep_going(part)) for part in engine.parts()]
            try:
                yield engine
            finally:
                await engine.release()
                for task in background:
                    task.cancel()
    finally:
        await engine.close()
        await redis.aclose()


class RunEngine:
    """Executes runs, keeps their logs, and lets anybody follow them from any replica. Made by `open_engine`."""

    def __init__(
        self,
        settings: EngineSettings,
        agent: AgentClient,
        database: Database,
        artifacts: ArtifactStore,
        redis: Redis,
        on_end: Sequence[OnEnd],
        gate: Gate,
    ) -> None:
        self._settings = settings
        self._database = database
        self._store = RunStore(database)
        self._redis = redis
        self._executions = Executions()
        self._writer = LogWriter(
            settings.redis_url,
            settings.replica_id,
            settings.run_log_ttl_s,
            live=self._executions.runs,
            on_settled=self._executions.settled,
        )
        self._reader = LogReader(settings.redis_url, redis)
        self._replicas = Replicas(redis, settings.replica_id, settings.lease_s)
        self._orders = Orders(redis, settings.replica_id)
        is_here = self._executions.__contains__
        self._orphans = Orphans(
            self._store,
            redis,
            self._replicas,
            is_here=is_here,
            can_tell=lambda: self._writer.available,
            on_end=on_end,
        )
        self._resumptions = Resumptions(
            InterruptStore(database),
            redis,
            self._replicas,
            settings.replica_id,
            is_here=is_here,
            go_on=self._executions.go_on,
        )
        self._metas = RunMetas(redis)
        self._lookup = RunLookup(self._store, self._metas, self._orphans, self._resumptions)
        self._cancellations = Cancellations(redis, self._orders, self._orphans, self._resumptions, self._executions)
        self._chores = Chores()
        self._executions.means = Means(
            agent=agent,
            store=self._store,
            artifacts=artifacts,
            gate=gate,
            models=ModelWait(settings.model_wake_s),
            replica_id=settings.replica_id,
            submit=self._writer.submit,
            lose=self._writer.lose,
            bury_orphan=self._orphans.bury,
            cancel_interrupted=self._cancellations.cancel_interrupted,
            on_end=on_end,
        )

    @property
    def policy(self) -> RetryPolicy:
        """How failed attempts are repeated, from the next run on."""
        return self._executions.policy

    @policy.setter
    def policy(self, policy: RetryPolicy) -> None:
        self._executions.policy = policy

    @property
    def resume_available(self) -> bool:
        """False while Redis is away: runs stream, but cannot be resumed."""
        return self._writer.available

    @property
    def here(self) -> Sequence[str]:
        """The ids of the runs that this replica executes."""
        return [run.id for run in self._executions.runs()]

    @property
    def active(self) -> int:
        """How many of them have not ended, and do not wait for a person."""
        return sum(run.status.is_active for run in self._executions.runs())

    @property
    def peers(self) -> tuple[int, int]:
        """Which of the live replicas this one is, counted from 0, and how many there are; as Redis said it last."""
        return self._replicas.peers

    async def start(self, spec: RunSpec) -> str:
        """Starts a run and returns its id once its log has begun.

        Errors: THREAD_NOT_FOUND, THREAD_BUSY, and DATABASE_UNAVAILABLE for a run that is stored.
        """
        own = begin_ownership(spec)
        admission = Admission(own.created_at, is_running=True, to_cancel=())
        if own.stored:
            admission = await self._admit(own, spec.multitask_strategy)
            own = replace(own, created_at=admission.created_at)
            if admission.artifacts:
                own = replace(own, request=with_artifacts(own.request, admission.artifacts))
        execution = self._executions.start(LiveRun(own), may_start=admission.is_running)
        try:
            cause = (
                CancelCause.CANCEL_CAUSE_ROLLED_BACK
                if spec.multitask_strategy is MultitaskStrategy.ROLLBACK
                else CancelCause.CANCEL_CAUSE_INTERRUPTED
            )
            for run_id in admission.to_cancel:
                await self._cancellations.order(own.tenant, run_id, cause)
                self._chores.do(self._make_way(own.tenant, run_id, cause))
            while not execution.run.visible:
                await execution.run.change()
        except asyncio.CancelledError:
            # The client left before it knew the run's id.
            if own.on_disconnect is OnDisconnect.CANCEL:
                execution.cancel(CancelCause.CANCEL_CAUSE_DISCONNECTED)
            raise
        return own.run_id

    async def events(self, tenant: str, run_id: str, after: int = 0) -> AsyncGenerator[Sequence[RunEvent], None]:
        """Yields the run's events behind `after`, in batches as they come; ends at the event at which the log stands.

        A run_interrupted that has been answered, or cancelled, is passed over: it is never the last of a batch.
        Errors: RUN_NOT_FOUND, also for a run whose log has expired; CACHE_UNAVAILABLE when only Redis could tell.
        """
        was_here = False
        while (execution := self._executions.find(run_id, tenant)) and not execution.run.lost:
            was_here = True
            async with aclosing(execution.run.follow(after)) as batches:
                async for batch in batches:
                    after = batch[-1].seq if batch else after
                    yield batch
                    if batch and is_terminal(batch[-1]):
                        return
            if not execution.run.lost:
                return
        if not was_here and (stored := await self._lookup.stored_log(tenant, run_id)) is not None:
            events = [event for event in stored if event.seq > after]
            if events:
                yield events
            if is_terminal(stored[-1]):
                return
            after = max(after, stored[-1].seq)
        async with aclosing(self._reader.follow(run_id, after)) as batches:
            async for batch in batches:
                yield batch

    async def require_log(self, tenant: str, run_id: str) -> None:
        """Raises what `events` would raise first, for who has to know before an answer begins."""
        if not self._executions.find(run_id, tenant):
            await self._lookup.stored_log(tenant, run_id)

    async def trace_events(self, tenant: str, run_id: str) -> Sequence[RunEvent]:
        """The run's whole log as it stands, from wherever it is.

        Errors: RUN_NOT_FOUND, also for a run whose log has expired; CACHE_UNAVAILABLE, DATABASE_UNAVAILABLE.
        """
        if execution := self._executions.find(run_id, tenant):
            run = execution.run
            return [event for entry in run.entries[: run.visible] for event in entry.parsed()]
        stored = await self._lookup.stored_log(tenant, run_id)
        return stored if stored is not None else await self._reader.read_all(run_id)

    async def get(self, tenant: str, run_id: str) -> RunRecord:
        """The run as it stands. Errors: RUN_NOT_FOUND, DATABASE_UNAVAILABLE."""
        if execution := self._executions.find(run_id, tenant):
            return execution.run.record()
        return await self._lookup.record(tenant, run_id)

    async def list(
        self,
        tenant: str,
        *,
        limit: int = 20,
        after: str | None = None,
        thread_id: str | None = None,
        status: RunStatus | None = None,
    ) -> RunPage:
        """Stored runs, newest first, behind the run `after`. Errors: DATABASE_UNAVAILABLE."""
        return await self._store.page(tenant, limit=limit, after=after, thread_id=thread_id, status=status)

    async def forget(self, run_ids: Iterable[str]) -> None:
        """Drops what Redis holds of runs whose rows have been deleted; while it is away they expire by themselves."""
        await self._metas.forget(run_ids)

    async def cancel(
        self, tenant: str, run_id: str, cause: CancelCause.ValueType = CancelCause.CANCEL_CAUSE_REQUESTED
    ) -> RunRecord:
        """Stops a run, wherever it is executed, and waits shortly for its end. A run that has ended stays as it is.

        Errors: RUN_NOT_FOUND; CACHE_UNAVAILABLE when another replica executes it and Redis is away.
        """
        await self._cancellations.order(tenant, run_id, cause)
        return await self._see_off(tenant, run_id, cause)

    async def resume(
        self,
        tenant: str,
        run_id: str,
        answers: Mapping[str, Any],
        *,
        on_disconnect: OnDisconnect | None = None,
    ) -> int:
        """Lets an interrupted run go on with a person's answers; returns the seq behind which its new events come.

        answers: by the id of the interrupt, whatever its schema wants; all open interrupts at once. Sent twice, also at
        the same time and to several replicas, it acts once and returns the same. on_disconnect: takes the place of the
        run's own, from now on; who answers without following the run wants `continue`.
        Errors: RUN_NOT_FOUND; CONFLICT: the run is not interrupted, or has been answered otherwise; INVALID_ARGUMENT:
        an interrupt has no answer, an answer no interrupt, or one is not what its interrupt wants;
        DATABASE_UNAVAILABLE.
        """
        # A client that leaves in between must not leave the run between its answers and its execution.
        return await asyncio.shield(self._chores.do(self._resume(tenant, run_id, answers, on_disconnect)))

    async def interrupted_run(self, tenant: str, thread_id: str) -> RunRecord | None:
        """The run that waits for answers on a thread. Errors: DATABASE_UNAVAILABLE."""
        return await self._store.interrupted(tenant, thread_id)

    async def client_gone(self, tenant: str, run_id: str) -> None:
        """The client that started the run went away before its end: what then happens is the run's on_disconnect."""
        if (execution := self._executions.find(run_id, tenant)) is None:
            return
        if execution.run.ownership.on_disconnect is OnDisconnect.CANCEL:
            execution.cancel(CancelCause.CANCEL_CAUSE_DISCONNECTED)

    async def drain(self, timeout_s: float) -> None:
        """Waits until every run here has ended and is logged, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._executions:
                    await asyncio.sleep(0.05)

    def parts(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """What has to run in the background while the engine is open."""
        return (
            *(self._writer.write, self._writer.probe, self._reader.read, self._watch, self._obey, self._sweep),
            lambda: keep_pruning(self._database, days=self._settings.run_log_days),
        )

    async def release(self) -> None:
        """Stops to execute; runs that have not ended are free for other replicas."""
        await self._chores.end()
        for execution in self._executions:
            await execution.abandon()
        await self._replicas.release()

    async def close(self) -> None:
        """Closes the connections to Redis."""
        await self._writer.close()
        await self._reader.close()

    async def _watch(self) -> None:
        await self._replicas.watch(self._take_over_from)

    async def _take_over_from(self, replica_id: str) -> None:
        async for run, cancel in take_over(self._redis, replica_id, self._settings.replica_id):
            outcome = self._executions.adopt(run, None if cancel is None else _cause(cancel))
            metrics.TAKEOVERS.labels(outcome).inc()
            _log.info("took a run over", extra={"run_id": run.id, "outcome": outcome})
        await self._replicas.remove(replica_id)
        self._chores.do(self._adopt_left(replica_id))  # not here: the database must not delay the heartbeat

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            await self._adopt_left()

    async def _adopt_left(self, gone: str | None = None) -> None:
        with contextlib.suppress(DormouseError):
            await self._resumptions.adopt_left(gone)

    async def _resume(
        self, tenant: str, run_id: str, answers: Mapping[str, Any], on_disconnect: OnDisconnect | None
    ) -> int:
        try:
            return await self._resumptions.resume(tenant, run_id, answers, on_disconnect)
        except DormouseError as error:
            is_due = error.reason == ErrorReason.ERROR_REASON_CONFLICT and await self._orphans.bury(tenant, run_id)
            if not is_due:
                raise
        return await self._resumptions.resume(tenant, run_id, answers, on_disconnect)

    async def _obey(self) -> None:
        async with aclosing(self._orders.receive()) as orders:
            async for order in orders:
                if isinstance(order, tuple):
                    run_id, cause = order
                    if execution := self._executions.find(run_id):
                        execution.cancel(_cause(cause))
                else:
                    self._executions.look(order)

    async def _see_off(self, tenant: str, run_id: str, cause: CancelCause.ValueType) -> RunRecord:
        """Waits shortly for the end of a run that was ordered to end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_WAIT_S):
                while (record := await self.get(tenant, run_id)).status.holds_thread:
                    await asyncio.sleep(0.02)
                    if record.status is RunStatus.INTERRUPTED:  # it asked its question before it heard of this
                        await self._cancellations.order(tenant, run_id, cause)
        return record

    async def _make_way(self, tenant: str, run_id: str, cause: CancelCause.ValueType) -> None:
        with contextlib.suppress(DormouseError):
            await self._see_off(tenant, run_id, cause)

    async def _admit(self, own: Ownership, strategy: MultitaskStrategy) -> Admission:
        try:
            return await self._store.admit(own, strategy, self._settings.replica_id)
        except DormouseError as error:
            holder = error.details.get("run_id", "")
            if error.reason != ErrorReason.ERROR_REASON_THREAD_BUSY or not await self._orphans.bury(own.tenant, holder):
                raise
        return await self._store.admit(own, strategy, self._settings.replica_id)


async def _keep_going(part: Callable[[], Awaitable[None]]) -> None:
    """Runs a part that never ends by itself; a defect in it is logged and does not take the others down."""
    while True:
        try:
            await part()
        except Exception:  # noqa: BLE001 - the edge of a background part
            _log.exception("a part of the run engine failed and starts again")
            await asyncio.sleep(1)


def _cause(number: int) -> CancelCause.ValueType:
    return CancelCause.Value(CancelCause.Name(cast("CancelCause.ValueType", number)))
