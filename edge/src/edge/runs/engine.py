"""The run engine as the public surfaces use it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
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
from .events import is_terminal
from .execution import Execution, Means, RetryPolicy
from .interrupt_store import InterruptStore
from .live_run import LiveRun
from .log_reader import LogReader
from .log_writer import LogWriter
from .model import MultitaskStrategy, OnDisconnect, RunPage, RunRecord, RunSpec, RunStatus
from .orphans import Orphans
from .ownership import Ownership, begin_ownership
from .replicas import Orders, Replicas
from .resumption import Resumptions
from .retention import keep_pruning
from .run_lookup import RunLookup
from .run_meta import RunMetas
from .run_store import Admission, RunStore, with_artifacts
from .takeover import take_over

CANCEL_WAIT_S = 2.0
"""How long an answer to `cancel` waits for the run's end."""

RELEASE_S = 2.0
"""How long a replica that stops waits for answers that are being taken."""

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


@asynccontextmanager
async def open_engine(
    settings: EngineSettings, agent: AgentClient, database: Database, artifacts: ArtifactStore
) -> AsyncIterator["RunEngine"]:
    """The engine, with its background tasks running. On exit, runs that have not ended are left to other replicas."""
    redis = make_client(settings.redis_url)
    engine = RunEngine(settings, agent, database, artifacts, redis)
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
    ) -> None:
        self._settings = settings
        self._database = database
        self._store = RunStore(database)
        self._redis = redis
        self._executions: dict[str, Execution] = {}
        self.policy = RetryPolicy()
        """How failed attempts are repeated, from the next run on."""
        self._writer = LogWriter(
            settings.redis_url,
            settings.replica_id,
            settings.run_log_ttl_s,
            live=lambda: [execution.run for execution in self._executions.values()],
            on_settled=self._settled,
        )
        self._reader = LogReader(settings.redis_url, redis)
        self._replicas = Replicas(redis, settings.replica_id, settings.lease_s)
        self._orders = Orders(redis, settings.replica_id)
        is_here = self._executions.__contains__
        self._orphans = Orphans(
            self._store, redis, self._replicas, is_here=is_here, can_tell=lambda: self._writer.available
        )
        self._resumptions = Resumptions(
            InterruptStore(database), redis, self._replicas, settings.replica_id, is_here=is_here, go_on=self._go_on
        )
        self._lookup = RunLookup(self._store, RunMetas(redis), self._orphans, self._resumptions)
        self._cancellations = Cancellations(
            redis,
            self._orders,
            self._orphans,
            self._resumptions,
            execution_of=self._execution,
            on_free=self._thread_is_free,
        )
        self._resuming: set[asyncio.Task[int]] = set()
        self._means = Means(
            agent=agent,
            store=self._store,
            artifacts=artifacts,
            replica_id=settings.replica_id,
            submit=self._writer.submit,
            lose=self._writer.lose,
            bury_orphan=self._orphans.bury,
            cancel_interrupted=self._cancellations.cancel_interrupted,
        )

    @property
    def resume_available(self) -> bool:
        """False while Redis is away: runs stream, but cannot be resumed."""
        return self._writer.available

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
        execution = self._execute(LiveRun(own), may_start=admission.is_running)
        try:
            cause = (
                CancelCause.CANCEL_CAUSE_ROLLED_BACK
                if spec.multitask_strategy is MultitaskStrategy.ROLLBACK
                else CancelCause.CANCEL_CAUSE_INTERRUPTED
            )
            for run_id in admission.to_cancel:
                await self._cancellations.order(own.tenant, run_id, cause)
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
        if execution := self._execution(tenant, run_id):
            async with aclosing(execution.run.follow(after)) as batches:
                async for batch in batches:
                    after = batch[-1].seq if batch else after
                    yield batch
                    if batch and is_terminal(batch[-1]):
                        return
            if not execution.run.lost:
                return
        elif (stored := await self._lookup.stored_log(tenant, run_id)) is not None:
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
        if not self._execution(tenant, run_id):
            await self._lookup.stored_log(tenant, run_id)

    async def trace_events(self, tenant: str, run_id: str) -> Sequence[RunEvent]:
        """The run's whole log as it stands, from wherever it is.

        Errors: RUN_NOT_FOUND, also for a run whose log has expired; CACHE_UNAVAILABLE, DATABASE_UNAVAILABLE.
        """
        if execution := self._execution(tenant, run_id):
            run = execution.run
            return [event for entry in run.entries[: run.visible] for event in entry.parsed()]
        stored = await self._lookup.stored_log(tenant, run_id)
        return stored if stored is not None else await self._reader.read_all(run_id)

    async def get(self, tenant: str, run_id: str) -> RunRecord:
        """The run as it stands. Errors: RUN_NOT_FOUND, DATABASE_UNAVAILABLE."""
        if execution := self._execution(tenant, run_id):
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

    async def cancel(
        self, tenant: str, run_id: str, cause: CancelCause.ValueType = CancelCause.CANCEL_CAUSE_REQUESTED
    ) -> RunRecord:
        """Stops a run, wherever it is executed, and waits shortly for its end. A run that has ended stays as it is.

        Errors: RUN_NOT_FOUND; CACHE_UNAVAILABLE when another replica executes it and Redis is away.
        """
        await self._cancellations.order(tenant, run_id, cause)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_WAIT_S):
                while (record := await self.get(tenant, run_id)).status.is_active:
                    await asyncio.sleep(0.02)
        return record

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
        task = asyncio.create_task(self._resume(tenant, run_id, answers, on_disconnect), name=f"resume {run_id}")
        self._resuming.add(task)
        task.add_done_callback(self._resuming.discard)
        # A client that leaves in between must not leave the run between its answers and its execution.
        return await asyncio.shield(task)

    async def interrupted_run(self, tenant: str, thread_id: str) -> RunRecord | None:
        """The run that waits for answers on a thread. Errors: DATABASE_UNAVAILABLE."""
        return await self._store.interrupted(tenant, thread_id)

    async def client_gone(self, tenant: str, run_id: str) -> None:
        """The client that started the run went away before its end: what then happens is the run's on_disconnect."""
        if (execution := self._execution(tenant, run_id)) is None:
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
        if self._resuming:
            _, late = await asyncio.wait(self._resuming, timeout=RELEASE_S)
            for task in late:
                task.cancel()
        for execution in list(self._executions.values()):
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
            self._adopt(run, cancel)
        with contextlib.suppress(DormouseError):
            await self._resumptions.adopt_left(replica_id)
        await self._replicas.remove(replica_id)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            with contextlib.suppress(DormouseError):
                await self._resumptions.adopt_left()

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

    def _go_on(self, run: LiveRun) -> None:
        self._execute(run, may_start=True)
        self._writer.submit(run)

    async def _obey(self) -> None:
        async with aclosing(self._orders.receive()) as orders:
            async for order in orders:
                if isinstance(order, tuple):
                    run_id, cause = order
                    if execution := self._executions.get(run_id):
                        execution.cancel(_cause(cause))
                else:
                    self._thread_is_free(order)

    def _execute(self, run: LiveRun, *, may_start: bool) -> Execution:
        execution = self._register(run, may_start=may_start)
        execution.start()
        return execution

    def _register(self, run: LiveRun, *, may_start: bool) -> Execution:
        execution = Execution(run, self._means, may_start=may_start, policy=self.policy)
        self._executions[run.id] = execution
        metrics.LIVE_RUNS.inc()
        return execution

    def _settled(self, run: LiveRun) -> None:
        """The run's end is in the log, or another replica owns it: nothing is left to do for it here."""
        execution = self._executions.pop(run.id, None)
        if execution is None:
            return
        metrics.LIVE_RUNS.dec()
        if run.lost:
            execution.stop()
        if run.ownership.thread_id:
            self._thread_is_free(run.ownership.thread_id)

    def _thread_is_free(self, thread_id: str) -> None:
        for execution in self._executions.values():
            if execution.run.ownership.thread_id == thread_id:
                execution.look()

    def _execution(self, tenant: str, run_id: str) -> Execution | None:
        execution = self._executions.get(run_id)
        return execution if execution is not None and execution.run.ownership.tenant == tenant else None

    async def _admit(self, own: Ownership, strategy: MultitaskStrategy) -> Admission:
        try:
            return await self._store.admit(own, strategy, self._settings.replica_id)
        except DormouseError as error:
            holder = error.details.get("run_id", "")
            if error.reason != ErrorReason.ERROR_REASON_THREAD_BUSY or not await self._orphans.bury(own.tenant, holder):
                raise
        return await self._store.admit(own, strategy, self._settings.replica_id)

    def _adopt(self, run: LiveRun, cancel: int | None) -> None:
        outcome = "finished" if run.has_ended else "continued"
        if run.has_ended:
            self._register(run, may_start=False)
            self._writer.submit(run)
        else:
            execution = self._execute(run, may_start=not run.ownership.stored)
            if cancel is not None:
                execution.cancel(_cause(cancel))
                outcome = "cancelled"
            elif run.ownership.on_disconnect is OnDisconnect.CANCEL:
                execution.cancel(CancelCause.CANCEL_CAUSE_DISCONNECTED)
                outcome = "cancelled"
        metrics.TAKEOVERS.labels(outcome).inc()
        _log.info("took a run over", extra={"run_id": run.id, "outcome": outcome})


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
