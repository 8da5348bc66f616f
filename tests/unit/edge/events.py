"""Canonical events, as short as tests want to write them."""

from itertools import count
from typing import Any

from dormouse.agent.v1 import run_event_pb2 as pb
from dormouse.agent.v1.run_event_pb2 import FinishReason, RunEvent

Started, Finished = pb.RunStarted, pb.RunFinished


def log(*payloads: Any) -> list[RunEvent]:
    """A run's log: numbers and times are given, the field is found by the payload's type."""
    fields = {
        field.message_type.name: field.name
        for field in RunEvent.DESCRIPTOR.oneofs[0].fields
        if field.message_type is not None
    }
    numbers = count(1)
    return [
        RunEvent(seq=next(numbers), unix_ms=1_795_000_000_000, **{fields[type(payload).DESCRIPTOR.name]: payload})
        for payload in payloads
    ]


def started(thread_id: str = "") -> pb.RunStarted:
    return pb.RunStarted(run_id="run_1", agent_id="chat", thread_id=thread_id)


def finished(reason: FinishReason.ValueType = FinishReason.FINISH_REASON_STOP) -> pb.RunFinished:
    return pb.RunFinished(finish_reason=reason)


def said(text: str, message_id: str = "m1") -> pb.MessageDelta:
    return pb.MessageDelta(message_id=message_id, text=text, pieces=1)


def thought(text: str, message_id: str = "m1") -> pb.ReasoningDelta:
    return pb.ReasoningDelta(message_id=message_id, text=text, pieces=1)


def message(*texts: str, message_id: str = "m1") -> list[Any]:
    """A whole message."""
    return [
        pb.MessageStarted(message_id=message_id),
        *(said(text, message_id) for text in texts),
        pb.MessageFinished(message_id=message_id),
    ]


def call(call_id: str, name: str, *arguments: str, message_id: str = "m1", at_client: bool = False) -> list[Any]:
    """A whole tool call, without its result."""
    return [
        pb.ToolCallStarted(tool_call_id=call_id, name=name, message_id=message_id, at_client=at_client),
        *(pb.ToolCallArgs(tool_call_id=call_id, delta=delta) for delta in arguments),
        pb.ToolCallFinished(tool_call_id=call_id),
    ]


def used(prompt: int = 3, completion: int = 5, reasoning: int = 0, model: str = "m") -> pb.UsageReported:
    return pb.UsageReported(model=model, prompt_tokens=prompt, completion_tokens=completion, reasoning_tokens=reasoning)
