"""Executes one run: waits for its turn, calls agent_fn as often as it takes, and ends the log."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from dormouse.agent.v1.agent_pb2 import Artifact
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest
from dormouse.agent.v1.message_pb2 import Message
from dormouse.agent.v1.run_event_pb2 import ActivityKind, CancelCause, RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

from edge.artifacts.store import ArtifactStore

from . import metrics
from .agent_client import AgentClient
from .artifact_follow import ArtifactFollower, speaks_of_artifacts
from .durable_log import entries_of, pack_log, unpack
from .ends import OnEnd, ended, tell
from .events import TERMINAL_STATUS, activity, end_of, run_cancelled, run_failed, run_started
from .gate import Gate
from .live_run import LiveRun
from .model import RunError, RunStatus
from .model_wait import SUBJECT, ModelWait
from .run_rows import LostError, Over, RunEnd, Waiting
from .run_store import RunStore, with_artifacts

TURN_POLL_S = 1.0
"""How often a run that waits for its thread looks, in case it was not told."""

STORE_AGAIN_S = 1.0
"""How often a row that could not be written is tried again."""

_FUNCTION_REASONS = frozenset(
    (
        ErrorReason.ERROR_REASON_FUNCTION_UNAVAILABLE,
        ErrorReason.ERROR_REASON_SHUTTING_DOWN,
        ErrorReason.ERROR_REASON_OVERLOADED,
    )
)
_MODEL_REASONS = frozenset((ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE, ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED))

_WITH_MODEL = frozenset((ActivityKind.ACTIVITY_KIND_LOADING_MODEL, ActivityKind.ACTIVITY_KIND_PROCESSING_PROMPT))
"""What is only told once the model server has answered."""

_DEFECT = RunError(ErrorReason.ERROR_REASON_INTERNAL, "Dormouse failed to execute this run.", retryable=False)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often an attempt that brought nothing new is repeated. An attempt that did resets the count."""

    function_delays_s: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4, *(0.5,) * 58)
    """A function that is gone is started again within seconds, or minutes where an image has to be fetched."""
    model_delays_s: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 4.0)
    failure_limit: int = 200
    """Over the whole run, whatever the attempts between them bring."""

    def delay_s(self, reason: int, failures: int) -> float | None:
        """Seconds until the next attempt after `failures` in a row (1 for the first); None: give up."""
        if reason in _FUNCTION_REASONS:
            delays = self.function_delays_s
        elif reason in _MODEL_REASONS:
            delays = self.model_delays_s
        else:
            return None
        return delays[failures - 1] if failures <= len(delays) else None


@dataclass(frozen=True, slots=True)
class Means:
    """What runs are executed with."""

    agent: AgentClient
    store: RunStore
    artifacts: ArtifactStore
    gate: Gate
    models: ModelWait
    replica_id: str
    submit: Callable[[LiveRun], None]
    """Puts a run that has something to say in line for the log."""
    lose: Callable[[LiveRun], None]
    """Lets a run go that another replica owns."""
    bury_orphan: Callable[[str, str], Awaitable[bool]]
    """Ends a run that nobody executes; whether it has."""
    cancel_interrupted: Callable[[str, str, CancelCause.ValueType], Awaitable[object]]
    """Ends a run that waits for answers."""
    on_end: Sequence[OnEnd] = ()
    """Who hears when a run ends here."""


@dataclass(slots=True)
class _Wait:
    """A run's wait for its models."""

    since: float
    """By the loop's clock."""
    progress: int
    """How far the run had come."""
    looks: int = 0


class Execution:
    """The owner's task for one run."""

    def __init__(self, run: LiveRun, means: Means, *, may_start: bool, policy: RetryPolicy) -> None:
        self._run = run
        self._means = means
        self._store = means.store
        self._may_start = may_start
        self._has_begun = False
        self._is_inside = False
        self._used_before = run.usage
        self._is_ending = False
        self._policy = policy
        self._turn_may_have_come: asyncio.Event | None = None  # only while the run waits
        self._cause: CancelCause.ValueType | None = None
        self._task: asyncio.Task[None] | None = None
        self._pinned: Sequence[Artifact] = ()
        self._waits: _Wait | None = None  # only while its models are not there
        self._follower: ArtifactFollower | None = None  # only for runs that write artifacts

    @property
    def run(self) -> LiveRun:
        """The run that is executed."""
        return self._run

    def start(self) -> None:
        """Begins. The task is this object's: it ends with the run, by `cancel`, or by `stop`."""
        own = self._run.ownership
        if not self._may_start:
            self._means.gate.put_off(own)
        elif self._means.gate.has_turn(own):
            self._run.begin()
        if not self._run.entries:
            self._append(run_started(own.run_id, own.request.agent_id, own.request.model, own.thread_id))
        self._task = asyncio.create_task(self._drive(), name=own.run_id)

    def cancel(self, cause: CancelCause.ValueType) -> None:
        """Stops the run; its log ends with run_cancelled. A run that has ended, or is being stopped, stays as it is.

        One that is just being interrupted is cancelled as soon as it is.
        """
        if self._cause is None and self._task is not None and not self._task.done():
            self._cause = cause
            if self._has_begun and not self._is_ending:
                self._task.cancel()

    def stop(self) -> None:
        """Stops to execute and leaves the log as it is: another replica goes on, or has already."""
        if self._task is not None:
            self._task.cancel()

    async def abandon(self) -> None:
        """Stops, and waits until the call to agent_fn is closed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    def look(self) -> None:
        """The run's turn on its thread may have come."""
        if self._turn_may_have_come is not None:
            self._turn_may_have_come.set()

    async def _drive(self) -> None:
        self._has_begun = self._is_inside = True
        own = self._run.ownership
        try:
            end = await self._live()
            self._is_ending = True
            self._is_inside = False
            # First: who sees the end may start the next run at once.
            await self._means.gate.left(own, self._run.usage - self._used_before)
            if end is not None:
                await self._end(end)
        except LostError:
            self._means.lose(self._run)
        except Exception:  # noqa: BLE001 - the edge of a run: whatever happens, its log has to end
            _log.exception("the end of a run could not be written down", extra={"run_id": own.run_id})
            self._append(run_failed(_DEFECT))
        finally:
            if self._is_inside:
                self._means.gate.lost(own)

    async def _live(self) -> RunEvent | None:
        """The run until its end, which is still to be written down; None: it has been."""
        own = self._run.ownership
        try:
            if self._cause is not None:  # before this task had its first turn
                raise asyncio.CancelledError
            turn: ExecuteRequest | Over = own.request
            if not self._may_start:
                turn = await self._wait_for_turn()
            if isinstance(turn, Over):
                self._restore(turn)
                return None
            while self._run.replaces_log and not self._run.visible:
                await self._run.change()  # nothing is done before it is sure that nobody else goes on with the run
            await self._means.gate.enter(own, self._tell_position)
            self._run.begin()
            return await self._attempts(turn)
        except asyncio.CancelledError:
            if self._cause is None:
                raise
            if task := asyncio.current_task():
                task.uncancel()
            return run_cancelled(self._cause)
        except LostError:
            raise
        except DormouseError as error:
            return run_failed(RunError(error.reason, error.message, error.retryable))
        except Exception:  # noqa: BLE001 - the edge of a run: whatever happens, its log has to end
            _log.exception("a run failed by a defect", extra={"run_id": own.run_id})
            return run_failed(_DEFECT)

    def _restore(self, over: Over) -> None:
        """Brings the log to the end that Postgres holds."""
        run = self._run
        missing = [event for event in unpack(over.log) if event.seq > run.last_seq] if over.log else []
        if not missing:
            self._append(end_of(over.record))
            return
        run.seal()
        for entry in entries_of(missing):
            run.add(entry)
        self._tell_end()
        self._means.submit(run)

    def _tell_position(self, position: int) -> None:
        self._append(activity(ActivityKind.ACTIVITY_KIND_QUEUED, "", position))

    async def _wait_for_turn(self) -> ExecuteRequest | Over:
        own, told = self._run.ownership, 0
        self._turn_may_have_come = asyncio.Event()
        while True:
            turn = await self._store.turn(own, self._means.replica_id)
            if not isinstance(turn, Waiting):
                return turn
            if turn.position != told:
                told = turn.position
                self._append(activity(ActivityKind.ACTIVITY_KIND_QUEUED, turn.behind, told))
            if await self._means.bury_orphan(own.tenant, turn.behind):
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TURN_POLL_S):
                    await self._turn_may_have_come.wait()
            self._turn_may_have_come.clear()

    async def _attempts(self, first: ExecuteRequest) -> RunEvent:
        """Calls Execute until the run has ended; returns its terminal event."""
        run, own, failures, all_failures = self._run, self._run.ownership, 0, 0
        if first.artifacts:
            first = with_artifacts(first, await self._means.artifacts.load(own.tenant, first.artifacts))
        # A run that was taken over, or that goes on, has a log already: this is a repetition.
        attempt = 1 if own.epoch == 1 else 2
        self._pinned = first.artifacts
        while True:
            request = first
            if attempt > 1:
                request = ExecuteRequest()
                request.CopyFrom(first)
                recovery = run.account.recovery(
                    attempt=attempt,
                    may_replace=own.may_replace,
                    tokens=run.usage.prompt_tokens + run.usage.completion_tokens,
                )
                request.recovery.CopyFrom(recovery)
                request.answers.extend(run.account.answers)
                run.begin_attempt()
                if self._follower is not None:
                    self._follower.begin_attempt()
            progress = self._run.progress
            try:
                end = await self._execute(request)
            except DormouseError as error:
                metrics.ATTEMPTS.labels(ErrorReason.Name(error.reason)).inc()
                if self._means.models.is_for(error):
                    await self._wait_for_models()
                    failures, attempt = 0, attempt + 1
                    continue
                failures = 1 if self._run.progress > progress else failures + 1
                all_failures += 1
                delay = self._policy.delay_s(error.reason, failures)
                if delay is None or all_failures >= self._policy.failure_limit:
                    raise
                _log.info(
                    "an attempt failed, the run goes on",
                    extra={"run_id": own.run_id, "attempt": attempt, "reason": ErrorReason.Name(error.reason)},
                )
                if failures == 1:
                    self._append(activity(ActivityKind.ACTIVITY_KIND_RETRYING, own.request.agent_id))
                await asyncio.sleep(delay)
            else:
                metrics.ATTEMPTS.labels(end.WhichOneof("event")).inc()
                if end.HasField("run_interrupted") and not (request.can_interrupt and end.run_interrupted.interrupts):
                    raise DormouseError(ErrorReason.ERROR_REASON_INTERNAL, "The agent asked what nobody can answer.")
                if end.WhichOneof("event") != "handoff":
                    return end
                failures = 0
            attempt += 1

    async def _wait_for_models(self) -> None:
        """Returns when it is time for another attempt. Raises MODEL_UNAVAILABLE when that has been so for too long."""
        own, loop = self._run.ownership, asyncio.get_running_loop()
        now = loop.time()
        if self._waits is None:
            self._waits = _Wait(now, self._run.progress)
            _log.info("a run waits for its models", extra={"run_id": own.run_id})
            self._append(activity(ActivityKind.ACTIVITY_KIND_WAKING, SUBJECT))
        try:
            await self._means.models.pause(now - self._waits.since, self._waits.looks)
        finally:
            self._means.gate.idled(own, loop.time() - now)
        self._waits.looks += 1

    def _note_models(self, event: RunEvent) -> None:
        """Whether what was just told shows that the models have come."""
        assert self._waits is not None
        if self._run.progress > self._waits.progress or event.activity.kind in _WITH_MODEL:
            self._waits = None
            self._means.models.found()

    async def _execute(self, request: ExecuteRequest) -> RunEvent:
        """One call of Execute; returns its last event: terminal, or handoff.

        What the agent has sent together comes into the log together, so that none of it can be lost alone.
        """
        run = self._run
        async with aclosing(self._means.agent.execute(run.ownership, request)) as batches:
            async for batch in batches:
                if speaks_of_artifacts(batch):
                    batch = await self._followed(batch)
                for event in batch:
                    kind = event.WhichOneof("event")
                    if kind in TERMINAL_STATUS or kind == "handoff":
                        return event
                    if kind == "checkpoint_saved":
                        if event.checkpoint_saved.is_base:
                            run.note_base(event.checkpoint_saved.checkpoint_id)
                        else:
                            run.checkpoint()
                    else:
                        self._append(event)
                while run.is_backed_up:
                    await run.change()
        raise DormouseError(ErrorReason.ERROR_REASON_FUNCTION_UNAVAILABLE, "The agent function broke off.")

    async def _followed(self, batch: Sequence[RunEvent]) -> Sequence[RunEvent]:
        if self._follower is None:
            run = self._run
            self._follower = ArtifactFollower(run.ownership, self._means.artifacts, self._pinned, run.entries)
        return await self._follower.follow(batch)

    async def _end(self, end: RunEvent) -> None:
        """Writes the end to the database, then to the log: who sees a terminal event finds the thread free.

        A database that is away holds nobody up: the log ends, and the row follows when it is back.
        """
        run, own, kind = self._run, self._run.ownership, end.WhichOneof("event")
        record = run.record_after(end)
        metrics.RUNS.labels(record.agent_id, record.status).inc()
        if not own.stored:
            self._append(end)
            return
        entry = run.end_entry(end)
        partial: Sequence[Message] = ()
        if kind == "run_cancelled" or kind == "run_interrupted":
            partial = run.account.partial_messages({interrupt.tool_call_id for interrupt in record.interrupts})
        written = RunEnd(
            record,
            own.epoch,
            cause=end.run_cancelled.cause if kind == "run_cancelled" else None,
            partial=partial,
            base_checkpoint=run.base_checkpoint,
            log=await pack_log(run, entry),
        )
        is_stored, over = await self._reach_database(written)
        if over is not None:
            # An owner before this one has come to an end, and died before the log said so.
            self._restore(over)
            record = over.record
        else:
            run.add(entry)
            self._tell_end()
            self._means.submit(run)
        while not is_stored:
            await asyncio.sleep(STORE_AGAIN_S)
            is_stored, _ = await self._reach_database(written)
        asked = record.status is RunStatus.INTERRUPTED
        # A client that leaves takes no question with it: somebody else may answer.
        if asked and self._cause not in (None, CancelCause.CANCEL_CAUSE_DISCONNECTED):
            await self._means.cancel_interrupted(own.tenant, own.run_id, self._cause)

    async def _reach_database(self, end: RunEnd) -> tuple[bool, Over | None]:
        """Whether the row is written, and what it says if that is another end."""
        try:
            return True, await self._store.finish(end)
        except DormouseError as error:
            if error.reason != ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE:
                raise
            return False, None

    def _append(self, event: RunEvent) -> None:
        if self._run.append(event):
            self._tell_end()
            self._means.submit(self._run)
            if self._waits is not None:
                self._note_models(event)

    def _tell_end(self) -> None:
        if self._run.has_ended:
            tell(self._means.on_end, ended(self._run))
