"""A run in the memory of the replica that owns it: its log, and the readers that follow it there."""

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dormouse.agent.v1.run_event_pb2 import FinishReason, Interrupt, RunEvent, RunLogEntry

from edge.spending.model import Charge, Use, part_of

from .events import TERMINAL_STATUS, merge_deltas
from .model import RunError, RunRecord, RunStatus, Usage
from .ownership import Ownership
from .recovery import LogAccount
from .repetition import CHECKED, Told

PARSED_ENTRIES = 8
"""How many of the latest log entries stay parsed; older ones are kept as bytes and parsed again for late readers."""

BACKLOG_EVENTS = 256
"""How many events may wait for the log before the run is held back."""

_NO_PROGRESS = frozenset(("run_started", "step_started", "message_started", "activity"))
"""What an attempt may say without having brought the run further."""

_FINISH_REASONS = {
    FinishReason.FINISH_REASON_STOP: "stop",
    FinishReason.FINISH_REASON_LENGTH: "length",
    FinishReason.FINISH_REASON_TOOL_CALLS: "tool_calls",
}


@dataclass(slots=True)
class Entry:
    """One append: some neighbouring events of the log."""

    last_seq: int
    data: bytes
    """A serialized RunLogEntry."""
    events: Sequence[RunEvent] | None

    def parsed(self) -> Sequence[RunEvent]:
        """The events, from memory or from the bytes."""
        return self.events if self.events is not None else RunLogEntry.FromString(self.data).events


class LiveRun:
    """The owner's side of a run.

    Events come in with `append`, get their numbers when the log writer seals them into an entry, and are shown to
    readers once `commit` says that the entry is in the log.

    entries: what the log holds already. in_redis: whether it is Redis that holds them; if not, whatever lies there is
    to be replaced by them.
    """

    def __init__(
        self, ownership: Ownership, entries: Sequence[Entry] = (), checkpoint_seq: int = 0, *, in_redis: bool = True
    ) -> None:
        self.ownership = ownership
        self.account = LogAccount()
        self.status = RunStatus.QUEUED
        self.usage = Usage()
        self.usage_by_model: dict[str, Usage] = {}
        self.progress = 0
        """Grows with everything that brings the run further."""
        self.base_checkpoint: str | None = None
        """The thread's checkpoint before the run; empty where it had none, None while unknown."""
        self.finish_reason: str | None = None
        self.error: RunError | None = None
        self.interrupts: Sequence[Interrupt] = ()
        """The open questions, while the run is interrupted."""
        self.started_at: datetime | None = None
        self.finished_at: datetime | None = None
        self.checkpoint_seq = checkpoint_seq
        """A new attempt needs what came after this event."""
        self.noted_state: object = None
        """What of `state` is in Redis."""
        self.entries: list[Entry] = list(entries)
        self.visible = len(self.entries) if in_redis else 0
        """How many entries readers may see."""
        self.persisted = self.visible
        """How many entries are in Redis."""
        self.replaces_log = not in_redis
        """Whether what Redis holds is of an earlier owner, and to be replaced as a whole."""
        self.lost = False
        """Whether another replica owns the run now."""
        self.detached = False
        """Whether another replica owns the run, but readers here have seen more of it than the common log holds."""
        self._charge: Charge | None = None
        self._told = Told()
        self._pending: list[RunEvent] = []
        self._waiters: list[asyncio.Future[None]] = []
        for entry in self.entries:
            for event in entry.parsed():
                self._observe(event, event.WhichOneof("event") or "")
                if event.seq == checkpoint_seq:
                    self.account.clear()
        for entry in self.entries[:-PARSED_ENTRIES]:
            entry.events = None

    @property
    def id(self) -> str:
        """The run's id."""
        return self.ownership.run_id

    @property
    def state(self) -> tuple[int, str | None, RunStatus]:
        """What another replica would have to know beside the log."""
        return self.checkpoint_seq, self.base_checkpoint, self.status

    @property
    def log(self) -> bytes:
        """Everything that is sealed: serialized RunLogEntry messages, one behind the other, which make up one."""
        return b"".join([entry.data for entry in self.entries])

    @property
    def last_seq(self) -> int:
        """The number of the last sealed event."""
        return self.entries[-1].last_seq if self.entries else 0

    @property
    def has_ended(self) -> bool:
        """Whether the terminal event has been appended."""
        return not self.status.is_active

    @property
    def is_settled(self) -> bool:
        """Whether the terminal event has been shown."""
        return self.has_ended and not self._pending and self.visible == len(self.entries)

    def append(self, event: RunEvent) -> bool:
        """Adds an event behind all others.

        False, and nothing is added: the run has ended, or a repeated attempt says again what is told already.
        """
        kind = event.WhichOneof("event") or ""
        if self.has_ended or (kind in CHECKED and self._told.is_repetition(event, kind)):
            return False
        self._observe(event, kind)
        self._pending.append(event)
        return True

    def add(self, entry: Entry) -> None:
        """Adds an entry that has its numbers already. It follows the last one, and nothing waits to be sealed."""
        for event in entry.parsed():
            self._observe(event, event.WhichOneof("event") or "")
        self._keep(entry)

    def begin_attempt(self) -> None:
        """Another attempt begins; it may say again what earlier ones have."""
        self._told.begin_attempt()

    def begin(self) -> None:
        """The run's turn has come."""
        if not self.has_ended:
            self.status, self.started_at = RunStatus.RUNNING, self.started_at or datetime.now(UTC)

    def note_base(self, checkpoint_id: str) -> None:
        """The checkpoint of the thread before the run; what a first attempt says counts."""
        if self.base_checkpoint is None:
            self.base_checkpoint = checkpoint_id

    def checkpoint(self) -> None:
        """The agent has stored its state: a new attempt needs only what is appended from here on."""
        self.seal()
        self.checkpoint_seq = self.last_seq
        self.account.clear()

    def seal(self) -> Entry | None:
        """Numbers what has been appended since the last call, as one entry. None: there is nothing."""
        if not self._pending:
            return None
        events, self._pending = merge_deltas(self._pending), []
        entry = self._number(events)
        self._keep(entry)
        return entry

    def end_entry(self, end: RunEvent) -> Entry:
        """The entry of the terminal event, behind all that was appended. It is not added yet: see `add`."""
        self.seal()
        return self._number([end])

    def _number(self, events: Sequence[RunEvent]) -> Entry:
        now, seq = time.time_ns() // 1_000_000, self.last_seq
        for event in events:
            seq += 1
            event.seq, event.unix_ms = seq, now
        return Entry(seq, RunLogEntry(events=events).SerializeToString(), events)

    def _keep(self, entry: Entry) -> None:
        self.entries.append(entry)
        if len(self.entries) > PARSED_ENTRIES:
            self.entries[-PARSED_ENTRIES - 1].events = None

    def commit(self, entries: int) -> None:
        """Shows the first so many entries to the readers."""
        self.visible = max(self.visible, entries)
        self._wake()

    def lose(self) -> None:
        """Another replica owns the run: readers are sent to the log in Redis."""
        self.lost = True
        self._wake()

    @property
    def is_backed_up(self) -> bool:
        """Whether so much waits for the log that the run has to be held back."""
        return len(self._pending) >= BACKLOG_EVENTS

    async def change(self) -> None:
        """Waits for the next commit, or for the loss of the run."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    async def follow(self, after: int = 0) -> AsyncGenerator[Sequence[RunEvent], None]:
        """Yields the shown events behind `after`, as they come; ends after the terminal one or when the run is lost."""
        index = bisect_right(self.entries, after, key=lambda entry: entry.last_seq)
        first = True
        while True:
            if index < self.visible:
                events = [event for entry in self.entries[index : self.visible] for event in entry.parsed()]
                index = self.visible
                if first:
                    events = [event for event in events if event.seq > after]
                    first = False
                yield events
            elif self.lost or self.is_settled:
                return
            else:
                await self.change()

    def record(self) -> RunRecord:
        """The run as it stands."""
        own = self.ownership
        return RunRecord(
            id=own.run_id,
            tenant=own.tenant,
            agent_id=own.request.agent_id,
            model=own.request.model,
            status=self.status,
            created_at=own.created_at,
            thread_id=own.thread_id,
            started_at=self.started_at,
            finished_at=self.finished_at,
            finish_reason=self.finish_reason,
            error=self.error,
            usage=self.usage,
            interrupts=self.interrupts,
        )

    def record_after(self, end: RunEvent) -> RunRecord:
        """The run as it will stand once this terminal event is appended."""
        status, finish_reason, error = _outcome(end)
        return replace(
            self.record(),
            status=status,
            finish_reason=finish_reason,
            error=error,
            finished_at=None if status is RunStatus.INTERRUPTED else datetime.now(UTC),
            interrupts=list(end.run_interrupted.interrupts),
        )

    @property
    def charge(self) -> Charge:
        """What the run has cost, once it has ended or was interrupted; the same each time.

        A call that was cut off was counted by nobody: what its model had sent is charged, and the prompt as guessed.
        """
        if self._charge is None:
            own, pieces = self.ownership, self.account.unfinished_pieces
            used = dict(self.usage_by_model)
            if pieces or not used:
                model = next(reversed(used), own.request.model)
                used[model] = used.get(model, Usage()) + Usage(own.prompt_estimate if pieces else 0, pieces)
            self._charge = Charge(
                id=own.run_id,
                tenant=own.tenant,
                user=own.user,
                key_id=own.key_id,
                agent_id=own.request.agent_id,
                at=self.finished_at or datetime.now(UTC),
                uses=[
                    Use(model, usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens)
                    for model, usage in used.items()
                ],
                part=part_of(own.epoch),
            )
        return self._charge

    def _observe(self, event: RunEvent, kind: str) -> None:
        self.account.take(event, kind)
        if kind not in _NO_PROGRESS:
            self.progress += 1
        if kind in CHECKED:
            self._told.take(event, kind)
        elif kind == "usage_reported":
            used = event.usage_reported
            usage = Usage(used.prompt_tokens, used.completion_tokens, used.reasoning_tokens)
            self.usage += usage
            self.usage_by_model[used.model] = self.usage_by_model.get(used.model, Usage()) + usage
        elif kind in TERMINAL_STATUS:
            self.status, self.finish_reason, self.error = _outcome(event)
            self.interrupts = list(event.run_interrupted.interrupts)
            if self.status is not RunStatus.INTERRUPTED:
                self.finished_at = _time_of(event)
        elif kind == "run_resumed":
            self.status, self.interrupts = RunStatus.RUNNING, ()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def _time_of(event: RunEvent) -> datetime:
    return datetime.fromtimestamp(event.unix_ms / 1000, UTC) if event.unix_ms else datetime.now(UTC)


def _outcome(end: RunEvent) -> tuple[RunStatus, str | None, RunError | None]:
    kind = end.WhichOneof("event") or ""
    finish_reason = _FINISH_REASONS.get(end.run_finished.finish_reason, "stop") if kind == "run_finished" else None
    failed = end.run_failed
    error = RunError(failed.reason, failed.message, failed.retryable) if kind == "run_failed" else None
    return TERMINAL_STATUS[kind], finish_reason, error
