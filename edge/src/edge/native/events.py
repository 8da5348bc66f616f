"""The native stream: the canonical events themselves, as server-sent events."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
from dormouse.agent.v1.run_event_pb2 import ActivityKind, CancelCause, FinishReason, Interrupt, RunEvent

from edge.errors import ApiError, meaning_of
from edge.sources import citation_to_json, source_to_json

_Payload = Callable[[Any], dict[str, Any]]


def _fields(*names: str) -> _Payload:
    return lambda payload: {name: getattr(payload, name) for name in names}


def _enum(kind: Any, prefix: str) -> dict[int, str]:
    return {number: name.removeprefix(prefix).lower() for name, number in kind.items()}


FINISH_REASONS: Final = _enum(FinishReason, "FINISH_REASON_")
CANCEL_CAUSES: Final = _enum(CancelCause, "CANCEL_CAUSE_")
ACTIVITIES: Final = _enum(ActivityKind, "ACTIVITY_KIND_")


def _run_started(payload: Any) -> dict[str, Any]:
    return {
        "run_id": payload.run_id,
        "thread_id": payload.thread_id or None,
        "agent": payload.agent_id,
        "model": payload.model or None,
    }


def _run_failed(payload: Any) -> dict[str, Any]:
    meaning = meaning_of(payload.reason)
    error = {"message": payload.message, "type": meaning.type, "code": meaning.code, "retryable": payload.retryable}
    return {"error": error}


def interrupt_to_json(interrupt: Interrupt) -> dict[str, Any]:
    """A question that a person has to answer; the same in the stream and in the run."""
    return {
        "id": interrupt.id,
        "reason": interrupt.reason,
        "message": interrupt.message,
        "tool_call_id": interrupt.tool_call_id or None,
        "details": orjson.Fragment(interrupt.details_json or "{}"),
        "response_schema": orjson.Fragment(interrupt.response_json_schema or "null"),
    }


def _run_interrupted(payload: Any) -> dict[str, Any]:
    return {"interrupts": [interrupt_to_json(interrupt) for interrupt in payload.interrupts]}


def _run_resumed(payload: Any) -> dict[str, Any]:
    answers = {answer.interrupt_id: orjson.Fragment(answer.response_json) for answer in payload.answers}
    return {"answers": answers}


def _tool_call_started(payload: Any) -> dict[str, Any]:
    return {
        "tool_call_id": payload.tool_call_id,
        "name": payload.name,
        "message_id": payload.message_id or None,
        "at_client": payload.at_client,
    }


def _tool_result(payload: Any) -> dict[str, Any]:
    return {
        "tool_call_id": payload.tool_call_id,
        "content": payload.content,
        "is_error": payload.is_error,
        "outcome_unknown": payload.outcome_unknown,
        "duration_ms": payload.duration_ms,
        "sources": [source_to_json(source) for source in payload.sources],
    }


def _activity(payload: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {"kind": ACTIVITIES[payload.kind], "subject": payload.subject}
    if payload.kind == ActivityKind.ACTIVITY_KIND_QUEUED:
        shown["position"] = payload.position
    if payload.message:
        shown["message"] = payload.message
    return shown


EVENTS: Final[dict[str, tuple[str, _Payload]]] = {
    "run_started": ("run.started", _run_started),
    "run_finished": ("run.finished", lambda payload: {"finish_reason": FINISH_REASONS[payload.finish_reason]}),
    "run_failed": ("run.failed", _run_failed),
    "run_cancelled": ("run.cancelled", lambda payload: {"cause": CANCEL_CAUSES[payload.cause]}),
    "run_interrupted": ("run.interrupted", _run_interrupted),
    "run_resumed": ("run.resumed", _run_resumed),
    "step_started": ("step.started", _fields("step_id", "name")),
    "step_finished": ("step.finished", _fields("step_id", "name")),
    "message_started": ("message.started", _fields("message_id")),
    "message_delta": ("message.delta", _fields("message_id", "text", "pieces")),
    "message_replaced": ("message.replaced", _fields("message_id", "text")),
    "message_finished": ("message.finished", _fields("message_id")),
    "reasoning_delta": ("reasoning.delta", _fields("message_id", "text", "pieces")),
    "citation": ("citation", citation_to_json),
    "tool_call_started": ("tool_call.started", _tool_call_started),
    "tool_call_args": ("tool_call.args", _fields("tool_call_id", "delta")),
    "tool_call_finished": ("tool_call.finished", _fields("tool_call_id")),
    "tool_result": ("tool_call.result", _tool_result),
    "state_snapshot": ("state.snapshot", lambda payload: {"state": orjson.Fragment(payload.json)}),
    "state_delta": ("state.delta", lambda payload: {"patch": orjson.Fragment(payload.patch_json)}),
    "artifact_delta": (
        "artifact.delta",
        lambda payload: {
            "artifact_id": payload.artifact_id,
            "version": payload.version,
            "patch": orjson.Fragment(payload.patch_json),
        },
    ),
    "artifact_saved": ("artifact.saved", _fields("artifact_id", "version")),
    "activity": ("activity", _activity),
    "usage_reported": ("usage.reported", _fields("model", "prompt_tokens", "completion_tokens", "reasoning_tokens")),
}
"""By field of RunEvent: the event's public name, and what its data holds beside `seq` and `unix_ms`."""


class NativeEncoder:
    """Encodes every event of a run: `id` is its seq, `event` its name, `data` its JSON."""

    def __init__(self) -> None:
        self._message_id = ""
        self._text = self._reasoning = b""
        self.has_content = False
        self.must_open = True

    def encode(self, events: Sequence[RunEvent]) -> bytes:
        """All of them, in order."""
        out: list[bytes] = []
        for event in events:
            kind = event.WhichOneof("event")
            if kind == "message_delta" or kind == "reasoning_delta":
                delta = event.message_delta if kind == "message_delta" else event.reasoning_delta
                if delta.message_id != self._message_id:
                    self._turn_to(delta.message_id)
                head = self._text if kind == "message_delta" else self._reasoning
                text, seq = orjson.dumps(delta.text), event.seq
                out.append(head % (seq, seq, event.unix_ms, text, delta.pieces))
                self.has_content = True
            elif kind in EVENTS:
                name, payload = EVENTS[kind]
                data = {"seq": event.seq, "unix_ms": event.unix_ms, **payload(getattr(event, kind))}
                out.append(b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, name.encode(), orjson.dumps(data)))
        return b"".join(out)

    def broken(self, error: ApiError) -> bytes:
        """Only a run's own end is one: the client comes back with `Last-Event-ID`, here or to another replica."""
        return b": this connection closes; resume with Last-Event-ID\n\n"

    def _turn_to(self, message_id: str) -> None:
        """Makes what all deltas of one message have in common."""
        self._message_id = message_id
        quoted = orjson.dumps(message_id).replace(b"%", b"%%")
        self._text, self._reasoning = (
            b"id: %%d\nevent: %s\ndata: "
            b'{"seq":%%d,"unix_ms":%%d,"message_id":%s,"text":%%s,"pieces":%%d}\n\n' % (name, quoted)
            for name in (b"message.delta", b"reasoning.delta")
        )
