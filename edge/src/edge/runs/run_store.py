"""Runs in Postgres: their rows, and whose turn it is on a thread."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest
from dormouse.agent.v1.message_pb2 import Message
from dormouse.agent.v1.run_event_pb2 import CancelCause
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from psycopg.types.json import Jsonb

from edge.database import Connection, Database

from .model import MultitaskStrategy, RunError, RunPage, RunRecord, RunStatus, Usage
from .ownership import Ownership

_COLUMNS = """id, tenant_id, agent_id, model, status, created_at, thread_id, started_at, finished_at, finish_reason,
    error, usage"""

_ACTIVE = "status in ('queued', 'running')"


@dataclass(frozen=True, slots=True)
class Admission:
    """A new run's place: whether it may start at once, and which runs have to make way for it."""

    created_at: datetime
    """By the database's clock, which orders the runs of a thread whichever replica admits them."""
    is_running: bool
    to_cancel: Sequence[str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """It is not a run's turn yet."""

    position: int
    """How many active runs stand before it, at least 1."""
    behind: str
    """The run that holds the thread."""


class RunStore:
    """The table `runs`. Every method sees one tenant; all raise DATABASE_UNAVAILABLE while Postgres is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def admit(self, own: Ownership, strategy: MultitaskStrategy) -> Admission:
        """Inserts a run. Errors: THREAD_NOT_FOUND, and THREAD_BUSY where the strategy is `reject`."""
        async with self._database.tenant(own.tenant) as connection:
            active = await self._active_on_thread(connection, own.thread_id) if own.thread_id else []
            if active and strategy is MultitaskStrategy.REJECT:
                raise DormouseError(
                    ErrorReason.ERROR_REASON_THREAD_BUSY,
                    f"Run {active[0]} is active on this thread. Wait for it, cancel it, or choose another "
                    "multitask_strategy: enqueue, interrupt or rollback.",
                    details={"run_id": active[0]},
                )
            is_running = not active
            cursor = await connection.execute(
                """insert into runs (id, tenant_id, thread_id, agent_id, model, status, request, on_disconnect,
                       multitask_strategy, created_at, started_at)
                   values (%s, %s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp(),
                       case when %s then clock_timestamp() end)
                   returning created_at""",
                (
                    own.run_id,
                    own.tenant,
                    own.thread_id,
                    own.request.agent_id,
                    own.request.model,
                    RunStatus.RUNNING if is_running else RunStatus.QUEUED,
                    own.request.SerializeToString(),
                    own.on_disconnect,
                    strategy,
                    is_running,
                ),
            )
            row = await cursor.fetchone()
            assert row is not None
        makes_way = strategy in (MultitaskStrategy.INTERRUPT, MultitaskStrategy.ROLLBACK)
        return Admission(row["created_at"], is_running, active if makes_way else ())

    async def turn(self, own: Ownership) -> ExecuteRequest | Waiting | RunRecord:
        """Claims the run's turn on its thread and gives what to execute, unless an earlier run is active there.

        Gives the record instead when the run has ended: its owner died between the row and the log.

        Where the run before it was interrupted, what that run was asked and said comes first; where it was rolled back,
        the thread is taken as it was before that run.
        """
        async with self._database.tenant(own.tenant) as connection:
            if own.thread_id is None:
                return await self._ended(connection, own.run_id) or own.request
            active = await self._active_on_thread(connection, own.thread_id)
            if own.run_id not in active:
                return await self._ended(connection, own.run_id) or own.request
            if active[0] != own.run_id:
                return Waiting(active.index(own.run_id), active[0])
            request, carried = own.request, 0
            before = await self._run_before(connection, own)
            if before is not None and before["cancel_cause"] is not None:
                request, carried = _go_on_after(own.request, before)
            await connection.execute(
                """update runs set status = 'running', started_at = coalesce(started_at, clock_timestamp()),
                       request = %s, carried = %s where id = %s and status in ('queued', 'running')""",
                (request.SerializeToString(), carried, own.run_id),
            )
        return request

    async def finish(
        self, record: RunRecord, *, cause: int | None, partial: Sequence[Message], base_checkpoint: str | None
    ) -> None:
        """Writes down how a run ended. A run that has ended already stays as it is.

        cause: a CancelCause, for a cancelled run. partial: what a cancelled run had said.
        """
        error = record.error and Jsonb(
            {"reason": record.error.reason, "message": record.error.message, "retryable": record.error.retryable}
        )
        said = ExecuteRequest(input=partial).SerializeToString() if partial else None
        async with self._database.tenant(record.tenant) as connection:
            await connection.execute(
                f"""update runs set status = %s, finish_reason = %s, error = %s, usage = %s, cancel_cause = %s,
                        partial = %s, base_checkpoint = %s, finished_at = clock_timestamp()
                    where id = %s and {_ACTIVE}""",  # noqa: S608 - a constant
                (
                    record.status,
                    record.finish_reason,
                    error,
                    Jsonb(record.usage.to_json()),
                    cause,
                    said,
                    base_checkpoint,
                    record.id,
                ),
            )

    async def get(self, tenant: str, run_id: str) -> RunRecord | None:
        """The run, or None where the tenant has no such run."""
        async with self._database.tenant(tenant) as connection:
            return await self._get(connection, run_id)

    async def page(
        self, tenant: str, *, limit: int, after: str | None, thread_id: str | None, status: RunStatus | None
    ) -> RunPage:
        """Runs, newest first, behind the run `after`."""
        conditions, values = ["true"], list[Any]()
        if after is not None:
            conditions.append("(created_at, id) < (select created_at, id from runs where id = %s)")
            values.append(after)
        if thread_id is not None:
            conditions.append("thread_id = %s")
            values.append(thread_id)
        if status is not None:
            conditions.append("status = %s")
            values.append(status)
        query = f"""select {_COLUMNS} from runs where {" and ".join(conditions)}
                    order by created_at desc, id desc limit %s"""  # noqa: S608 - built of constants
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute(query, (*values, limit + 1))
            rows = await cursor.fetchall()
        return RunPage([_record(row) for row in rows[:limit]], has_more=len(rows) > limit)

    async def _get(self, connection: Connection, run_id: str) -> RunRecord | None:
        cursor = await connection.execute(f"select {_COLUMNS} from runs where id = %s", (run_id,))  # noqa: S608
        row = await cursor.fetchone()
        return _record(row) if row else None

    async def _ended(self, connection: Connection, run_id: str) -> RunRecord | None:
        record = await self._get(connection, run_id)
        return record if record and not record.status.is_active else None

    async def _active_on_thread(self, connection: Connection, thread_id: str) -> list[str]:
        """Ids of the active runs, oldest first. The thread stays locked until the transaction ends."""
        # Against others who admit or claim, but not against the foreign keys of inserts.
        cursor = await connection.execute("select id from threads where id = %s for no key update", (thread_id,))
        if await cursor.fetchone() is None:
            raise DormouseError(ErrorReason.ERROR_REASON_THREAD_NOT_FOUND, f"There is no thread {thread_id}.")
        cursor = await connection.execute(
            f"select id from runs where thread_id = %s and {_ACTIVE} order by created_at, id",  # noqa: S608
            (thread_id,),
        )
        return [row["id"] for row in await cursor.fetchall()]

    async def _run_before(self, connection: Connection, own: Ownership) -> dict[str, Any] | None:
        cursor = await connection.execute(
            """select request, carried, partial, cancel_cause, base_checkpoint from runs
               where thread_id = %s and id <> %s and created_at <= (select created_at from runs where id = %s)
               order by created_at desc, id desc limit 1""",
            (own.thread_id, own.run_id, own.run_id),
        )
        return await cursor.fetchone()


def _go_on_after(asked: ExecuteRequest, before: dict[str, Any]) -> tuple[ExecuteRequest, int]:
    """The request of a run that follows a cancelled one, and how many of its messages it has from there."""
    earlier = ExecuteRequest.FromString(before["request"])
    carried: list[Message] = []
    request = ExecuteRequest()
    request.CopyFrom(asked)
    if before["cancel_cause"] == CancelCause.CANCEL_CAUSE_INTERRUPTED:
        carried = list(earlier.input)
        if before["partial"]:
            carried += ExecuteRequest.FromString(before["partial"]).input
    elif before["cancel_cause"] == CancelCause.CANCEL_CAUSE_ROLLED_BACK:
        carried = list(earlier.input[: before["carried"]])
        if before["base_checkpoint"]:
            request.thread.checkpoint_id = before["base_checkpoint"]
        elif before["base_checkpoint"] is not None:
            request.thread.empty = True
    if carried:
        del request.input[:]
        request.input.extend([*carried, *asked.input])
    return request, len(carried)


def _record(row: dict[str, Any]) -> RunRecord:
    error = row["error"]
    started: datetime | None = row["started_at"]
    return RunRecord(
        id=row["id"],
        tenant=row["tenant_id"],
        agent_id=row["agent_id"],
        model=row["model"],
        status=RunStatus(row["status"]),
        created_at=row["created_at"],
        thread_id=row["thread_id"],
        started_at=started,
        finished_at=row["finished_at"],
        finish_reason=row["finish_reason"],
        error=RunError(error["reason"], error["message"], error["retryable"]) if error else None,
        usage=Usage.from_json(row["usage"]) if row["usage"] else Usage(),
    )
