"""What the database says of a run, and what it is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dormouse.agent.v1.agent_pb2 import Artifact
from dormouse.agent.v1.message_pb2 import Message
from dormouse.agent.v1.run_event_pb2 import RunInterrupted

from .durable_log import StoredLog
from .model import RunError, RunRecord, RunStatus, Usage

COLUMNS = """id, tenant_id, agent_id, model, status, created_at, thread_id, started_at, finished_at, finish_reason,
    error, usage, interrupts"""

OVER = f"{COLUMNS}, (select data from run_logs where run_id = id) as data"  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Admission:
    """A new run's place: whether it may start at once, and which runs have to make way for it."""

    created_at: datetime
    """By the database's clock, which orders the runs of a thread whichever replica admits them."""
    is_running: bool
    to_cancel: Sequence[str]
    artifacts: Sequence[Artifact] = ()
    """The versions that a run which may start at once starts from, without their contents."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """It is not a run's turn yet."""

    position: int
    """How many runs that hold the thread stand before it, at least 1."""
    behind: str
    """The first of them."""


@dataclass(frozen=True, slots=True)
class Over:
    """The run has ended, or waits for answers: its owner died between the row and the log."""

    record: RunRecord
    log: bytes | None
    """What Postgres holds of the log, as it was stored."""


class LostError(Exception):
    """Another replica owns the run now."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended, or was interrupted."""

    record: RunRecord
    epoch: int
    cause: int | None = None
    """A CancelCause, for a cancelled run."""
    partial: Sequence[Message] = ()
    """What a run had said that was cancelled, or may be while it waits for answers."""
    base_checkpoint: str | None = None
    log: StoredLog | None = None


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run's row."""

    record: RunRecord
    epoch: int
    owner: str
    resumed_at: datetime | None
    user: str = ""
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class KeptLog:
    """A run's log in Postgres, and whose run it was at that moment."""

    data: bytes | None
    """As it was stored; None where nothing is kept."""
    epoch: int
    owner: str


def record_of(row: Mapping[str, Any]) -> RunRecord:
    """The run that a row of COLUMNS tells of."""
    error = row["error"]
    return RunRecord(
        id=row["id"],
        tenant=row["tenant_id"],
        agent_id=row["agent_id"],
        model=row["model"],
        status=RunStatus(row["status"]),
        created_at=row["created_at"],
        thread_id=row["thread_id"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        finish_reason=row["finish_reason"],
        error=RunError(error["reason"], error["message"], error["retryable"]) if error else None,
        usage=Usage.from_json(row["usage"]) if row["usage"] else Usage(),
        interrupts=RunInterrupted.FromString(row["interrupts"]).interrupts if row["interrupts"] else (),
    )
