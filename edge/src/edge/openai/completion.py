"""Chat Completions in one piece, and what both forms share."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from dormouse.agent.v1.run_event_pb2 import CancelCause, Citation, FinishReason, RunEvent, UsageReported

from edge.errors import ApiError, internal_error

from .annotations import Annotator

FINISH_REASONS: Final = {
    FinishReason.FINISH_REASON_STOP: "stop",
    FinishReason.FINISH_REASON_LENGTH: "length",
    FinishReason.FINISH_REASON_TOOL_CALLS: "tool_calls",
}


SEPARATOR: Final = "\n\n"
"""Between the messages of one run, which this protocol knows as one message."""


class UsageCount:
    """Tokens of a run, summed over its model calls."""

    __slots__ = ("completion", "prompt", "reasoning")

    def __init__(self) -> None:
        self.prompt = self.completion = self.reasoning = 0

    def add(self, used: UsageReported) -> None:
        """Counts one model call."""
        self.prompt += used.prompt_tokens
        self.completion += used.completion_tokens
        self.reasoning += used.reasoning_tokens

    def to_json(self) -> dict[str, Any]:
        """OpenAI's `usage`."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        }


def early_end(kind: str, event: RunEvent) -> ApiError | None:
    """What a client is told about a run that ended otherwise than well; None for an event that is no such end."""
    if kind == "run_failed":
        return ApiError.of(event.run_failed.reason, event.run_failed.message)
    if kind == "run_cancelled":
        cause = event.run_cancelled.cause
        later = cause in (CancelCause.CANCEL_CAUSE_INTERRUPTED, CancelCause.CANCEL_CAUSE_ROLLED_BACK)
        return _ended("A later run took this one's place." if later else "The run was cancelled.", "run_cancelled")
    if kind == "run_interrupted":
        return _ended("The run waits for an answer that this protocol cannot carry.", "run_interrupted")
    return None


def _ended(message: str, code: str) -> ApiError:
    return ApiError(409, message, type="conflict_error", code=code, headers={"x-should-retry": "false"})


class CompletionCollector:
    """Collects the events of one run into a `chat.completion` object."""

    def __init__(self, base_url: str = "") -> None:
        """base_url: of this API, for links to what is cited; empty: they are paths."""
        self._base_url = base_url
        self._citations: list[Citation] = []
        self._texts: dict[str, list[str]] = {}
        self._reasoning: dict[str, list[str]] = {}
        self._calls: dict[str, dict[str, Any]] = {}
        self._usage = UsageCount()
        self._finish_reason: str | None = None

    def take(self, events: Sequence[RunEvent]) -> None:
        """Adds events. Raises ApiError when the run ended otherwise than well."""
        for event in events:
            kind = event.WhichOneof("event")
            if kind == "message_delta":
                self._texts.setdefault(event.message_delta.message_id, []).append(event.message_delta.text)
            elif kind == "reasoning_delta":
                self._reasoning.setdefault(event.reasoning_delta.message_id, []).append(event.reasoning_delta.text)
            elif kind == "message_replaced":
                replaced = event.message_replaced
                self._texts[replaced.message_id] = [replaced.text]
                self._citations = [cited for cited in self._citations if cited.message_id != replaced.message_id]
            elif kind == "citation":
                self._citations.append(event.citation)
            elif kind == "tool_call_started" and event.tool_call_started.at_client:
                call = event.tool_call_started
                self._calls[call.tool_call_id] = {
                    "id": call.tool_call_id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": ""},
                }
            elif kind == "tool_call_args" and (called := self._calls.get(event.tool_call_args.tool_call_id)):
                called["function"]["arguments"] += event.tool_call_args.delta
            elif kind == "usage_reported":
                self._usage.add(event.usage_reported)
            elif kind == "run_finished":
                self._finish_reason = FINISH_REASONS.get(event.run_finished.finish_reason, "stop")
            elif kind is not None and (error := early_end(kind, event)) is not None:
                raise error

    def completion(self, completion_id: str, created: int, model: str) -> dict[str, Any]:
        """The object, once the run has finished."""
        if self._finish_reason is None:
            raise internal_error()
        text = _joined(self._texts)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if self._calls and not text else text,
            "refusal": None,
        }
        if annotations := self._annotations():
            message["annotations"] = annotations
        if self._reasoning:
            message["reasoning_content"] = _joined(self._reasoning)
        if self._calls:
            message["tool_calls"] = list(self._calls.values())
        return {
            "id": completion_id,
            "object": "chat.completion",
            "created": created,
            "model": model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish_reason}],
            "usage": self._usage.to_json(),
        }

    def _annotations(self) -> list[dict[str, Any]]:
        offsets: dict[str, int] = {}
        length = 0
        for message_id, pieces in self._texts.items():
            if text := "".join(pieces):
                offsets[message_id] = length
                length += len(text) + len(SEPARATOR)
        annotator = Annotator(self._base_url)
        made = (annotator.annotate(cited, offsets.get(cited.message_id, 0)) for cited in self._citations)
        return [annotation for annotation in made if annotation is not None]


def _joined(texts: Mapping[str, Sequence[str]]) -> str:
    return SEPARATOR.join(text for pieces in texts.values() if (text := "".join(pieces)))
