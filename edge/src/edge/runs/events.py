"""Canonical events: their terminal kinds, how they merge, and the ones that the edge itself writes."""

from collections.abc import Iterable

from dormouse.agent.v1.run_event_pb2 import (
    Activity,
    ActivityKind,
    CancelCause,
    FinishReason,
    RunCancelled,
    RunEvent,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunStarted,
)

from .model import RunError, RunRecord, RunStatus

TERMINAL_STATUS = {
    "run_finished": RunStatus.COMPLETED,
    "run_failed": RunStatus.FAILED,
    "run_cancelled": RunStatus.CANCELLED,
    "run_interrupted": RunStatus.INTERRUPTED,
}
"""The last event of a log, by its field name, and the status it leaves the run in. Only run_interrupted can be followed
by more."""


def is_terminal(event: RunEvent) -> bool:
    """Whether this event ends its run's log."""
    return event.WhichOneof("event") in TERMINAL_STATUS


def run_started(run_id: str, agent_id: str, model: str, thread_id: str | None) -> RunEvent:
    """The first event of every log."""
    return RunEvent(run_started=RunStarted(run_id=run_id, agent_id=agent_id, model=model, thread_id=thread_id or ""))


def run_failed(error: RunError) -> RunEvent:
    """The terminal event of a run that ends with an error."""
    return RunEvent(
        run_failed=RunFailed(reason=error.reason, message=error.message, retryable=error.retryable)  # type: ignore[arg-type]
    )


def run_cancelled(cause: CancelCause.ValueType) -> RunEvent:
    """The terminal event of a run that was stopped."""
    return RunEvent(run_cancelled=RunCancelled(cause=cause))


def end_of(record: RunRecord) -> RunEvent:
    """The terminal event that says what the record of an ended run says."""
    if record.status is RunStatus.FAILED and record.error is not None:
        return run_failed(record.error)
    if record.status is RunStatus.CANCELLED:
        return run_cancelled(CancelCause.CANCEL_CAUSE_REQUESTED)
    if record.status is RunStatus.INTERRUPTED:
        return RunEvent(run_interrupted=RunInterrupted(interrupts=record.interrupts))
    reason = FinishReason.Value(f"FINISH_REASON_{(record.finish_reason or 'stop').upper()}")
    return RunEvent(run_finished=RunFinished(finish_reason=reason))


def activity(kind: ActivityKind.ValueType, subject: str = "", position: int = 0) -> RunEvent:
    """Something that takes time and that a client may show."""
    return RunEvent(activity=Activity(kind=kind, subject=subject, position=position))


def merge_deltas(events: Iterable[RunEvent]) -> list[RunEvent]:
    """Merges neighbouring deltas of the same kind and message; everything else stays as it is, in order.

    The events given are not to be used afterwards: the first delta of a run of neighbours takes up the others.
    """
    merged: list[RunEvent] = []
    last_kind: str | None = None
    texts: list[str] = []

    def close() -> None:
        if len(texts) > 1 and last_kind is not None:
            getattr(merged[-1], last_kind).text = "".join(texts)

    for event in events:
        kind = event.WhichOneof("event")
        if kind == "message_delta" or kind == "reasoning_delta":
            delta = event.message_delta if kind == "message_delta" else event.reasoning_delta
            if kind == last_kind:
                last = getattr(merged[-1], kind)
                if last.message_id == delta.message_id:
                    texts.append(delta.text)
                    last.pieces += delta.pieces
                    continue
            close()
            texts = [delta.text]
        else:
            close()
            texts = []
        last_kind = kind
        merged.append(event)
    close()
    return merged
