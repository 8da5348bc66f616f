"""The events of the native stream for the OpenAPI document: what `data` holds, by name of the event."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from edge.openapi import json_text

from .events import ACTIVITIES, CANCEL_CAUSES, FINISH_REASONS

_Schema = Mapping[str, Any]
_Fields = Mapping[str, _Schema]

_TEXT: Final[_Schema] = {"type": "string"}
_TEXT_OR_NULL: Final[_Schema] = {"type": ["string", "null"]}
_COUNT: Final[_Schema] = {"type": "integer", "minimum": 0}
_FLAG: Final[_Schema] = {"type": "boolean"}
_OBJECT: Final[_Schema] = {"type": "object"}
_PATCH: Final[_Schema] = {"type": "array", "items": _OBJECT, "description": "RFC 6902."}
_STEP: Final[_Fields] = {"step_id": _TEXT, "name": _TEXT}
_DELTA: Final[_Fields] = {
    "message_id": _TEXT,
    "text": _TEXT,
    "pieces": {**_COUNT, "description": "Tokens, as they came."},
}


def _one_of(names: Mapping[int, str]) -> _Schema:
    return {"enum": sorted(name for number, name in names.items() if number)}


def _object(fields: _Fields, optional: Collection[str] = ()) -> dict[str, Any]:
    return {"type": "object", "properties": dict(fields), "required": [name for name in fields if name not in optional]}


_ERROR: Final = _object({"message": _TEXT, "type": _TEXT, "code": _TEXT, "retryable": _FLAG})
_INTERRUPT: Final = _object(
    {
        "id": _TEXT,
        "reason": _TEXT,
        "message": _TEXT,
        "tool_call_id": _TEXT_OR_NULL,
        "details": {**_OBJECT, "description": "For `tool_approval`: the `tool` and its `arguments`."},
        "response_schema": {"type": ["object", "null"]},
    }
)

_SOURCE: Final = _object(
    {
        "label": {**_TEXT, "description": "How the result names it, for instance `1`."},
        "file_id": _TEXT,
        "filename": _TEXT,
        "chunk_id": _TEXT,
        "text": {**_TEXT, "description": "The passage, as the model was shown it."},
        "first_page": {"type": ["integer", "null"], "description": "Null: the type has no pages."},
        "start_offset": {**_COUNT, "description": "Code points from the start of the file's text."},
        "end_offset": {**_COUNT, "description": "Exclusive."},
        "url": {**_TEXT, "description": "Where the passage can be read: a path of this API."},
    }
)

DATA: Final[Mapping[str, _Fields]] = {
    "run.started": {"run_id": _TEXT, "thread_id": _TEXT_OR_NULL, "agent": _TEXT, "model": _TEXT_OR_NULL},
    "run.finished": {"finish_reason": _one_of(FINISH_REASONS)},
    "run.failed": {"error": _ERROR},
    "run.cancelled": {"cause": _one_of(CANCEL_CAUSES)},
    "run.interrupted": {"interrupts": {"type": "array", "items": _INTERRUPT}},
    "run.resumed": {"answers": {**_OBJECT, "description": "What was answered, by the interrupt's id."}},
    "step.started": _STEP,
    "step.finished": _STEP,
    "message.started": {"message_id": _TEXT},
    "message.delta": _DELTA,
    "message.replaced": {"message_id": _TEXT, "text": _TEXT},
    "message.finished": {"message_id": _TEXT},
    "reasoning.delta": _DELTA,
    "citation": {
        "message_id": _TEXT,
        "start": {**_COUNT, "description": "Of the span in the message's text, in code points."},
        "end": {**_COUNT, "description": "Exclusive."},
        "source": {"oneOf": [_SOURCE, {"type": "null"}], "description": "Null: nothing supports the span."},
    },
    "tool_call.started": {
        "tool_call_id": _TEXT,
        "name": _TEXT,
        "message_id": {**_TEXT_OR_NULL, "description": "The message that asked for it. Null: a plan did."},
        "at_client": {**_FLAG, "description": "The client has to run it."},
    },
    "tool_call.args": {"tool_call_id": _TEXT, "delta": _TEXT},
    "tool_call.finished": {"tool_call_id": _TEXT},
    "tool_call.result": {
        "tool_call_id": _TEXT,
        "content": _TEXT,
        "is_error": _FLAG,
        "outcome_unknown": {**_FLAG, "description": "It had begun, and nobody can say whether it was carried out."},
        "duration_ms": {**_COUNT, "description": "Of the tool itself. 0: it was not run."},
        "sources": {"type": "array", "items": _SOURCE, "description": "The passages that the content quotes."},
    },
    "state.snapshot": {"state": _OBJECT},
    "state.delta": {"patch": _PATCH},
    "artifact.delta": {"artifact_id": _TEXT, "version": _COUNT, "patch": _PATCH},
    "artifact.saved": {"artifact_id": _TEXT, "version": _COUNT},
    "activity": {"kind": _one_of(ACTIVITIES), "subject": _TEXT, "position": _COUNT, "message": _TEXT},
    "usage.reported": {
        "model": _TEXT,
        "prompt_tokens": _COUNT,
        "completion_tokens": _COUNT,
        "reasoning_tokens": _COUNT,
    },
}
"""What each event's `data` holds beside `seq` and `unix_ms`."""


def _event(name: str, fields: _Fields) -> dict[str, Any]:
    optional = ("position", "message") if name == "activity" else ()
    data = _object({"seq": _COUNT, "unix_ms": _COUNT, **fields}, optional)
    return {"properties": {"event": {"const": name}, "data": json_text(data)}}


EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"id": {"type": "string", "pattern": "^[0-9]+$", "description": "The event's seq."}},
    "required": ["id", "event", "data"],
    "oneOf": [_event(name, fields) for name, fields in DATA.items()],
}
"""One server-sent event of a run."""
