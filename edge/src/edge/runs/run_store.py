"""Runs in Postgres: their rows, and whose turn it is on a thread."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dormouse.agent.v1.agent_pb2 import Artifact
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest
from dormouse.agent.v1.message_pb2 import Message
from dormouse.agent.v1.run_event_pb2 import CancelCause, RunInterrupted
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from psycopg.types.json import Jsonb

from edge.artifacts.pins import pin, undo
from edge.database import Connection, Database

from .model import MultitaskStrategy, RunPage, RunRecord, RunStatus
from .ownership import Ownership
from .run_rows import COLUMNS, OVER, Admission, KeptLog, LostError, Over, RunEnd, StoredRun, Waiting, record_of

_ACTIVE = "status in ('queued', 'running')"
_HOLDS_THREAD = "status in ('queued', 'running', 'interrupted')"


class RunStore:
    """The table `runs`. Every method sees one tenant; all raise DATABASE_UNAVAILABLE while Postgres is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def admit(self, own: Ownership, strategy: MultitaskStrategy, owner: str) -> Admission:
        """Inserts a run. Errors: THREAD_NOT_FOUND, and THREAD_BUSY where the strategy is `reject`."""
        artifacts: Sequence[Artifact] = ()
        async with self._database.tenant(own.tenant) as connection:
            before = await self._holders(connection, own.thread_id) if own.thread_id else _NOBODY
            if before.runs and strategy is MultitaskStrategy.REJECT:
                raise _busy(*before.runs[0])
            is_running, request = not before.runs, own.request
            if is_running and before.has_artifacts:
                artifacts = await pin(connection, own.request.thread.thread_id)
                request = with_artifacts(own.request, artifacts)
            cursor = await connection.execute(
                """insert into runs (id, tenant_id, thread_id, agent_id, model, status, request, on_disconnect,
                       multitask_strategy, user_id, request_id, may_replace, owner, key_id, created_at, started_at)
                   values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp(),
                       case when %s then clock_timestamp() end)
                   returning created_at""",
                (
                    own.run_id,
                    own.tenant,
                    own.thread_id,
                    own.request.agent_id,
                    own.request.model,
                    RunStatus.RUNNING if is_running else RunStatus.QUEUED,
                    request.SerializeToString(),
                    own.on_disconnect,
                    strategy,
                    own.user,
                    own.request_id,
                    own.may_replace,
                    owner,
                    own.key_id,
                    is_running,
                ),
            )
            row = await cursor.fetchone()
            assert row is not None
        makes_way = strategy in (MultitaskStrategy.INTERRUPT, MultitaskStrategy.ROLLBACK)
        to_cancel = [run_id for run_id, _ in before.runs] if makes_way else ()
        return Admission(row["created_at"], is_running, to_cancel, artifacts)

    async def turn(self, own: Ownership, owner: str) -> ExecuteRequest | Waiting | Over:
        """Claims the run's turn on its thread and gives what to execute, unless an earlier run holds the thread.

        Where the run before it was interrupted, what that run was asked and said comes first; where it was rolled back,
        the thread is taken as it was before that run. What a run starts from stays the same for all its owners.
        Raises LostError; THREAD_NOT_FOUND.
        """
        async with self._database.tenant(own.tenant) as connection:
            holders = (await self._holders(connection, own.thread_id)) if own.thread_id else _NOBODY
            row = await self._claim(connection, own, owner)
            if row is None:
                return own.request
            status = RunStatus(row["status"])
            if not status.is_active:
                cursor = await connection.execute(
                    f"select {OVER} from runs where id = %s",  # noqa: S608 - a constant
                    (own.run_id,),
                    binary=True,
                )
                ended = await cursor.fetchone()
                assert ended is not None, "its row is locked"
                return Over(record_of(ended), ended["data"])
            if status is RunStatus.RUNNING:
                return ExecuteRequest.FromString(row["request"])
            waiting = [run_id for run_id, _ in holders.runs]
            if waiting and waiting[0] != own.run_id:
                return Waiting(waiting.index(own.run_id), waiting[0])
            request, carried = own.request, 0
            before = await self._run_before(connection, own)
            if before is not None and before["cancel_cause"] is not None:
                request, carried = _go_on_after(own.request, before)
                if before["cancel_cause"] == CancelCause.CANCEL_CAUSE_ROLLED_BACK:
                    await undo(connection, before["id"])
            if holders.has_artifacts:
                request = with_artifacts(request, await pin(connection, own.request.thread.thread_id))
            await connection.execute(
                """update runs set status = 'running', started_at = coalesce(started_at, clock_timestamp()),
                       request = %s, carried = %s where id = %s""",
                (request.SerializeToString(), carried, own.run_id),
            )
        return request

    async def finish(self, end: RunEnd) -> Over | None:
        """Writes down how a run ended, with its log. One that has ended already stays as it is, and is returned.

        Raises LostError where a later owner executes it.
        """
        record, log = end.record, end.log
        error = record.error and Jsonb(
            {"reason": record.error.reason, "message": record.error.message, "retryable": record.error.retryable}
        )
        questions = RunInterrupted(interrupts=record.interrupts).SerializeToString() if record.interrupts else None
        async with self._database.tenant(record.tenant) as connection:
            cursor = await connection.execute(
                f"""with ended as (
                        update runs set status = %(status)s, finish_reason = %(finish_reason)s, error = %(error)s,
                            usage = %(usage)s, cancel_cause = %(cause)s, partial = %(partial)s,
                            interrupts = %(questions)s::bytea,
                            base_checkpoint = coalesce(%(base)s, base_checkpoint),
                            finished_at = case when %(questions)s::bytea is null then clock_timestamp() end
                        where id = %(id)s and {_ACTIVE} and epoch <= %(epoch)s returning id, tenant_id
                    ), kept as (
                        insert into run_logs (run_id, tenant_id, last_seq, checkpoint_seq, data)
                        select id, tenant_id, %(last_seq)s::bigint, %(checkpoint_seq)s::bigint, %(log)b::bytea
                        from ended where %(last_seq)s::bigint is not null
                        on conflict (run_id) do update set last_seq = excluded.last_seq, kept_at = now(),
                            checkpoint_seq = excluded.checkpoint_seq, data = excluded.data
                    )
                    select {OVER}, epoch from runs where id = %(id)s and not exists (select from ended)""",  # noqa: S608
                {
                    "id": record.id,
                    "epoch": end.epoch,
                    "status": record.status,
                    "finish_reason": record.finish_reason,
                    "error": error,
                    "usage": Jsonb(record.usage.to_json()),
                    "cause": end.cause,
                    "partial": ExecuteRequest(input=end.partial).SerializeToString() if end.partial else None,
                    "questions": questions,
                    "base": end.base_checkpoint,
                    "last_seq": log and log.last_seq,
                    "checkpoint_seq": log and log.checkpoint_seq,
                    "log": log and log.data,
                },
                binary=True,
            )
            other = await cursor.fetchone()
        if other is None:
            return None
        if other["epoch"] > end.epoch:
            raise LostError
        return Over(record_of(other), other["data"])

    async def get(self, tenant: str, run_id: str) -> RunRecord | None:
        """The run, or None where the tenant has no such run."""
        row = await self.row(tenant, run_id)
        return row.record if row else None

    async def row(self, tenant: str, run_id: str) -> StoredRun | None:
        """The run with what is said of its owner."""
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute(
                f"select {COLUMNS}, epoch, owner, resumed_at, user_id, key_id from runs where id = %s",  # noqa: S608
                (run_id,),
            )
            row = await cursor.fetchone()
        if row is None:
            return None
        return StoredRun(record_of(row), row["epoch"], row["owner"], row["resumed_at"], row["user_id"], row["key_id"])

    async def interrupted(self, tenant: str, thread_id: str) -> RunRecord | None:
        """The run on a thread that waits for answers."""
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute(
                f"select {COLUMNS} from runs where thread_id = %s and status = 'interrupted'",  # noqa: S608
                (thread_id,),
            )
            row = await cursor.fetchone()
        return record_of(row) if row else None

    async def log(self, tenant: str, run_id: str) -> KeptLog | None:
        """What Postgres holds of a run's log, or None where the tenant has no such run."""
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute(
                "select epoch, owner, data from runs left join run_logs on run_id = id where id = %s",
                (run_id,),
                binary=True,
            )
            row = await cursor.fetchone()
        return KeptLog(row["data"], row["epoch"], row["owner"]) if row else None

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
        query = f"""select {COLUMNS} from runs where {" and ".join(conditions)}
                    order by created_at desc, id desc limit %s"""  # noqa: S608 - built of constants
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute(query, (*values, limit + 1))
            rows = await cursor.fetchall()
        return RunPage([record_of(row) for row in rows[:limit]], has_more=len(rows) > limit)

    async def _claim(self, connection: Connection, own: Ownership, owner: str) -> dict[str, Any] | None:
        """The run's row, which now names its owner; None where it is gone. Raises LostError."""
        cursor = await connection.execute(
            "select status, request, epoch, owner from runs where id = %s for no key update", (own.run_id,), binary=True
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        if row["epoch"] > own.epoch:
            raise LostError
        if (row["epoch"], row["owner"]) != (own.epoch, owner):
            await connection.execute(
                "update runs set epoch = %s, owner = %s where id = %s", (own.epoch, owner, own.run_id)
            )
        return row

    async def _holders(self, connection: Connection, thread_id: str) -> "_Holders":
        """The runs that hold the thread, oldest first. It stays locked until the transaction ends."""
        # Against others who admit or claim, but not against the foreign keys of inserts.
        cursor = await connection.execute(
            """select exists (select from artifacts where thread_id = threads.id) as has_artifacts
               from threads where id = %s for no key update""",
            (thread_id,),
        )
        thread = await cursor.fetchone()
        if thread is None:
            raise DormouseError(ErrorReason.ERROR_REASON_THREAD_NOT_FOUND, f"There is no thread {thread_id}.")
        cursor = await connection.execute(
            f"select id, status from runs where thread_id = %s and {_HOLDS_THREAD} order by created_at, id",  # noqa: S608
            (thread_id,),
        )
        rows = await cursor.fetchall()
        return _Holders([(row["id"], RunStatus(row["status"])) for row in rows], thread["has_artifacts"])

    async def _run_before(self, connection: Connection, own: Ownership) -> dict[str, Any] | None:
        cursor = await connection.execute(
            """select id, request, carried, partial, cancel_cause, base_checkpoint from runs
               where thread_id = %s and id <> %s and created_at <= (select created_at from runs where id = %s)
               order by created_at desc, id desc limit 1""",
            (own.thread_id, own.run_id, own.run_id),
        )
        return await cursor.fetchone()


@dataclass(frozen=True, slots=True)
class _Holders:
    """Who holds a thread, and whether it has artifacts."""

    runs: Sequence[tuple[str, RunStatus]]
    has_artifacts: bool


_NOBODY = _Holders((), has_artifacts=False)


def with_artifacts(request: ExecuteRequest, artifacts: Sequence[Artifact]) -> ExecuteRequest:
    """A copy of the request that names these artifacts, and no others."""
    changed = ExecuteRequest()
    changed.CopyFrom(request)
    del changed.artifacts[:]
    changed.artifacts.extend(artifacts)
    return changed


def _busy(run_id: str, status: RunStatus) -> DormouseError:
    if status is RunStatus.INTERRUPTED:
        message = (
            f"Run {run_id} on this thread waits for answers. Answer it, cancel it, or choose another "
            "multitask_strategy: interrupt or rollback."
        )
    else:
        message = (
            f"Run {run_id} is active on this thread. Wait for it, cancel it, or choose another "
            "multitask_strategy: enqueue, interrupt or rollback."
        )
    return DormouseError(ErrorReason.ERROR_REASON_THREAD_BUSY, message, details={"run_id": run_id})


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
