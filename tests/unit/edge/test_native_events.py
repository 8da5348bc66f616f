"""The native stream: every canonical event, by name, with its number."""

import json
from typing import Any

from dormouse.agent.v1 import run_event_pb2 as pb
from dormouse.agent.v1.run_event_pb2 import RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from edge.native.event_schemas import DATA
from edge.native.events import EVENTS, NativeEncoder

from tests.unit.edge.events import call, finished, log, message, said, started, thought, used

INTERNAL = {"checkpoint_saved", "handoff", "filter_matched"}


def read(raw: bytes) -> list[tuple[int, str, dict[str, Any]]]:
    blocks = raw.decode().split("\n\n")
    assert blocks.pop() == ""
    events = []
    for block in blocks:
        number, name, data = (line.partition(": ")[2] for line in block.split("\n"))
        events.append((int(number), name, json.loads(data)))
    return events


def test_every_event_has_a_name_and_those_between_the_services_have_none() -> None:
    fields = {field.name for field in RunEvent.DESCRIPTOR.oneofs[0].fields}
    assert set(EVENTS) == fields - INTERNAL
    assert NativeEncoder().encode([RunEvent(seq=1, handoff=pb.Handoff())]) == b""


def test_a_log_is_told_as_it_is() -> None:
    events = read(
        NativeEncoder().encode(log(started("thread_1"), thought("hm"), *message("Hel", "lo"), used(), finished()))
    )
    assert [number for number, _, _ in events] == list(range(1, 9))
    assert [name for _, name, _ in events] == [
        "run.started", "reasoning.delta", "message.started", "message.delta", "message.delta", "message.finished",
        "usage.reported", "run.finished",
    ]  # fmt: skip
    time = 1_795_000_000_000
    assert events[0][2] == {
        "seq": 1, "unix_ms": time, "run_id": "run_1", "thread_id": "thread_1", "agent": "chat", "model": None,
    }  # fmt: skip
    assert events[3][2] == {"seq": 4, "unix_ms": time, "message_id": "m1", "text": "Hel", "pieces": 1}
    assert events[-1][2] == {"seq": 8, "unix_ms": time, "finish_reason": "stop"}


def test_messages_that_alternate_keep_their_ids() -> None:
    texts = log(said("a", "m%1"), said("b", "m2"), thought("c", "m%1"), said('d"%d', "m%1"))
    events = read(NativeEncoder().encode(texts))
    assert [(data["message_id"], data["text"]) for _, _, data in events] == [
        ("m%1", "a"), ("m2", "b"), ("m%1", "c"), ("m%1", 'd"%d'),
    ]  # fmt: skip


def test_tools_states_and_ends_are_told_in_full() -> None:
    events = read(
        NativeEncoder().encode(
            log(
                *call("c1", "look", "{}"),
                pb.ToolResult(tool_call_id="c1", content="3", is_error=True, outcome_unknown=True, duration_ms=7),
                pb.StateSnapshot(json='{"a":1}'),
                pb.StateDelta(patch_json='[{"op":"remove","path":"/a"}]'),
                pb.Activity(kind=pb.ACTIVITY_KIND_QUEUED, position=0),
                pb.Activity(kind=pb.ACTIVITY_KIND_LOADING_MODEL, subject="m"),
                pb.RunCancelled(cause=pb.CANCEL_CAUSE_ROLLED_BACK),
                pb.RunFailed(reason=ErrorReason.ERROR_REASON_MODEL_TIMEOUT, message="Silence.", retryable=True),
                pb.RunInterrupted(interrupts=[pb.Interrupt(id="i", reason="ask")]),
                pb.RunResumed(answers=[pb.InterruptAnswer(interrupt_id="i", response_json='{"action":"approve"}')]),
                pb.ArtifactDelta(artifact_id="art_1", version=2, patch_json="[]"),
                pb.ArtifactSaved(artifact_id="art_1", version=2),
                pb.Activity(kind=pb.ACTIVITY_KIND_RUNNING_TOOL, subject="math", message="Half way."),
                pb.ToolCallStarted(tool_call_id="c2", name="ask", at_client=True),
            )
        )
    )
    told = [{key: value for key, value in data.items() if key not in ("seq", "unix_ms")} for _, _, data in events]
    assert told[0] == {"tool_call_id": "c1", "name": "look", "message_id": "m1", "at_client": False}
    question: dict[str, Any] = {
        "id": "i", "reason": "ask", "message": "", "tool_call_id": None, "details": {}, "response_schema": None,
    }  # fmt: skip
    assert told[3:] == [
        {
            "tool_call_id": "c1", "content": "3", "is_error": True, "outcome_unknown": True, "duration_ms": 7,
            "sources": [],
        },
        {"state": {"a": 1}},
        {"patch": [{"op": "remove", "path": "/a"}]},
        {"kind": "queued", "subject": "", "position": 0},
        {"kind": "loading_model", "subject": "m"},
        {"cause": "rolled_back"},
        {"error": {"message": "Silence.", "type": "server_error", "code": "model_timeout", "retryable": True}},
        {"interrupts": [question]},
        {"answers": {"i": {"action": "approve"}}},
        {"artifact_id": "art_1", "version": 2, "patch": []},
        {"artifact_id": "art_1", "version": 2},
        {"kind": "running_tool", "subject": "math", "message": "Half way."},
        {"tool_call_id": "c2", "name": "ask", "message_id": None, "at_client": True},
    ]  # fmt: skip


def test_the_document_describes_every_event() -> None:
    assert set(DATA) == {name for name, _ in EVENTS.values()}
