"""Interrupted runs in Postgres: what they wait for, their answers, and how they go on.

The row decides. Whoever changes its status under its lock has acted; everybody else sees that it has been done.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest
from dormouse.agent.v1.run_event_pb2 import CancelCause, InterruptAnswer, RunEvent, RunInterrupted, RunResumed
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

from edge.database import Connection, Database
from edge.spending.model import EPOCHS_PER_PART

from . import answers as answer_rules
from .durable_log import entries_of, pack_event, unpack
from .events import run_cancelled
from .live_run import LiveRun
from .model import OnDisconnect, RunStatus
from .ownership import Ownership
from .prompt_size import prompt_tokens_of

EPOCHS_PER_RESUMPTION = EPOCHS_PER_PART
EPOCHS_PER_ADOPTION = 1_000
"""A takeover, which Redis decides, raises an epoch by one. What Postgres decides is above all that can happen there
meanwhile, so that no two owners ever have the same."""

_ROW = """id, tenant_id, user_id, thread_id, status, request, request_id, on_disconnect, may_replace, epoch, owner,
    created_at, started_at, base_checkpoint, interrupts, key_id"""


@dataclass(frozen=True, slots=True)
class Resumption:
    """A run that has got its answers."""

    after_seq: int
    """Behind this event it goes on."""
    epoch: int
    owner: str
    is_running: bool
    run: LiveRun | None
    """For whoever has brought the answers: the run to go on with. None: somebody else does, or has."""


@dataclass(frozen=True, slots=True)
class LeftRun:
    """A run that has got answers and may have nobody who goes on with it."""

    run_id: str
    tenant: str
    epoch: int
    owner: str


@dataclass(frozen=True, slots=True)
class Found:
    """A run as it was before something was done to it."""

    status: RunStatus
    thread_id: str | None


class InterruptStore:
    """Every method but `left` sees one tenant; all raise DATABASE_UNAVAILABLE while Postgres is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def resume(
        self, tenant: str, run_id: str, answers: Mapping[str, str], *, owner: str, on_disconnect: OnDisconnect | None
    ) -> Resumption:
        """Takes the answers, unless they have been taken.

        Errors: RUN_NOT_FOUND, CONFLICT, INVALID_ARGUMENT as `RunEngine.resume` says.
        """
        async with self._database.tenant(tenant) as connection:
            row = await self._lock(connection, run_id)
            if row is None:
                raise DormouseError(ErrorReason.ERROR_REASON_RUN_NOT_FOUND, f"There is no run {run_id}.")
            events = unpack(row["data"]) if row["data"] is not None else ()
            if (earlier := _answered(events, answers, row)) is not None:
                is_running = row["status"] == RunStatus.RUNNING
                return Resumption(earlier, row["epoch"], row["owner"], is_running, None)
            interrupts = RunInterrupted.FromString(row["interrupts"] or b"").interrupts
            if row["status"] != RunStatus.INTERRUPTED or not events:
                raise _not_interrupted(run_id, row["status"])
            event = _resumed(answer_rules.check(answers, interrupts), after=events[-1].seq)
            epoch = _above(row["epoch"], EPOCHS_PER_RESUMPTION)
            choice = on_disconnect or OnDisconnect(row["on_disconnect"])
            await connection.execute(
                """update runs set status = 'running', epoch = %s, owner = %s, on_disconnect = %s, interrupts = null,
                       partial = null, finished_at = null, resumed_at = clock_timestamp() where id = %s""",
                (epoch, owner, choice, run_id),
            )
            await self._extend_log(connection, run_id, event)
        row |= {"on_disconnect": choice}
        return Resumption(event.seq - 1, epoch, owner, True, _live_run(row, epoch, [*events, event]))

    async def cancel(self, tenant: str, run_id: str, cause: CancelCause.ValueType) -> Found | None:
        """Ends the run if it waits for answers; returns it as it was found. None: there is no such run."""
        async with self._database.tenant(tenant) as connection:
            row = await self._lock(connection, run_id)
            if row is None:
                return None
            if row["status"] == RunStatus.INTERRUPTED:
                event = run_cancelled(cause)
                event.seq, event.unix_ms = row["last_seq"] + 1, time.time_ns() // 1_000_000
                await connection.execute(
                    """update runs set status = 'cancelled', epoch = %s, cancel_cause = %s, interrupts = null,
                           finished_at = clock_timestamp() where id = %s""",
                    (_above(row["epoch"], EPOCHS_PER_RESUMPTION), cause, run_id),
                )
                await self._extend_log(connection, run_id, event)
        return Found(RunStatus(row["status"]), row["thread_id"])

    async def adopt(self, left: LeftRun, owner: str) -> LiveRun | None:
        """Takes a run that was left between its answers and their execution. None: somebody else has come first."""
        async with self._database.tenant(left.tenant) as connection:
            row = await self._lock(connection, left.run_id)
            if row is None or row["status"] != RunStatus.RUNNING or row["epoch"] != left.epoch or not row["data"]:
                return None
            events = unpack(row["data"])
            if events[-1].WhichOneof("event") != "run_resumed":
                return None
            epoch = _above(left.epoch, EPOCHS_PER_ADOPTION)
            await connection.execute(
                "update runs set epoch = %s, owner = %s, resumed_at = clock_timestamp() where id = %s",
                (epoch, owner, left.run_id),
            )
        return _live_run(row, epoch, events)

    async def left(self, older_than: timedelta, batch: int) -> Sequence[LeftRun]:
        """Runs of all tenants that got answers so long ago and have not ended, those that wait longest first."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                "select run_id, tenant_id, epoch, owner from resumed_runs(clock_timestamp() - %s, %s)",
                (older_than, batch),
            )
            rows = await cursor.fetchall()
        return [LeftRun(row["run_id"], row["tenant_id"], row["epoch"], row["owner"]) for row in rows]

    async def _lock(self, connection: Connection, run_id: str) -> dict[str, Any] | None:
        """The run's row, locked until the transaction ends, with its log.

        The log is read by a statement of its own: one that waited for the lock would see it as it was before.
        """
        cursor = await connection.execute(
            f"select {_ROW} from runs where id = %s for no key update",  # noqa: S608 - a constant
            (run_id,),
            binary=True,
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        cursor = await connection.execute(
            "select last_seq, checkpoint_seq, data from run_logs where run_id = %s", (run_id,), binary=True
        )
        return row | (await cursor.fetchone() or {"last_seq": 0, "checkpoint_seq": 0, "data": None})

    async def _extend_log(self, connection: Connection, run_id: str, event: RunEvent) -> None:
        await connection.execute(
            "update run_logs set data = data || %b, last_seq = %s, kept_at = now() where run_id = %s",
            (pack_event(event), event.seq, run_id),
        )


def _answered(events: Sequence[RunEvent], answers: Mapping[str, str], row: Mapping[str, Any]) -> int | None:
    """The seq behind which the run went on when it got just these answers; None where it never did."""
    if row["status"] == RunStatus.INTERRUPTED:
        open_ids = {interrupt.id for interrupt in RunInterrupted.FromString(row["interrupts"] or b"").interrupts}
        if open_ids & answers.keys():
            return None
    for event in reversed(events):
        taken = {answer.interrupt_id: answer.response_json for answer in event.run_resumed.answers}
        if taken and taken == answers:
            return event.seq - 1
        if taken.keys() & answers.keys():
            raise DormouseError(ErrorReason.ERROR_REASON_CONFLICT, f"Run {row['id']} has been answered otherwise.")
    return None


def _resumed(answers: Sequence[InterruptAnswer], *, after: int) -> RunEvent:
    return RunEvent(seq=after + 1, unix_ms=time.time_ns() // 1_000_000, run_resumed=RunResumed(answers=answers))


def _above(epoch: int, step: int) -> int:
    return (epoch // step + 1) * step


def _live_run(row: Mapping[str, Any], epoch: int, events: Sequence[RunEvent]) -> LiveRun:
    request = ExecuteRequest.FromString(row["request"])
    own = Ownership(
        run_id=row["id"],
        tenant=row["tenant_id"],
        user=row["user_id"],
        epoch=epoch,
        request=request,
        on_disconnect=OnDisconnect(row["on_disconnect"]),
        may_replace=row["may_replace"],
        stored=True,
        request_id=row["request_id"],
        created_at=row["created_at"],
        key_id=row["key_id"],
        prompt_estimate=prompt_tokens_of(request.input),
    )
    run = LiveRun(own, entries_of(events), row["checkpoint_seq"], in_redis=False)
    started_at: datetime | None = row["started_at"]
    run.started_at, run.base_checkpoint = started_at, row["base_checkpoint"]
    return run


def _not_interrupted(run_id: str, status: str) -> DormouseError:
    return DormouseError(
        ErrorReason.ERROR_REASON_CONFLICT,
        f"Run {run_id} waits for no answers: it is {status}.",
        details={"status": status},
    )
