"""AG-UI events from canonical logs; the judge reads every stream."""

from collections.abc import Mapping
from typing import Any

import pytest
from dormouse.agent.v1 import run_event_pb2 as pb
from dormouse.common.v1.error_pb2 import ErrorReason
from edge.agui.encoder import AguiEncoder
from edge.errors import ApiError

from tests.agui import check_stream
from tests.unit.edge.events import call, finished, log, message, said, started, thought, used

HISTORY = [
    {"id": "u1", "role": "user", "content": "Hi"},
    {"id": "r0", "role": "reasoning", "content": "hm"},
]


def encode(*payloads: Any) -> list[Mapping[str, Any]]:
    """A whole stream, judged, and the same whether it comes in one batch or in many."""
    events = log(started("thread_1"), *payloads)
    whole = AguiEncoder(thread_id="T", run_id="R", history=lambda: HISTORY).encode(events)
    single = AguiEncoder(thread_id="T", run_id="R", history=lambda: HISTORY)
    assert b"".join(single.encode([event]) for event in events) == whole
    return check_stream(whole)


def kinds(events: list[Mapping[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def test_a_plain_answer() -> None:
    step = {"step_id": "s1", "name": "model"}
    events = encode(pb.StepStarted(**step), *message("Hel", "lo"), used(3, 5), pb.StepFinished(**step), finished())
    assert events == [
        {"type": "RUN_STARTED", "threadId": "T", "runId": "R", "protocolVersion": "1.0"},
        {"type": "STEP_STARTED", "stepName": "model"},
        {"type": "TEXT_MESSAGE_START", "messageId": "m1", "role": "assistant"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m1", "delta": "Hel"},
        {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m1", "delta": "lo"},
        {"type": "TEXT_MESSAGE_END", "messageId": "m1"},
        {"type": "STEP_FINISHED", "stepName": "model"},
        {
            "type": "RUN_FINISHED",
            "threadId": "T",
            "runId": "R",
            "outcome": {"type": "success"},
            "usage": [{"provider": "ollama", "model": "m", "inputTokens": 3, "outputTokens": 5, "totalTokens": 8}],
        },
    ]


def test_reasoning_is_a_span_that_ends_where_the_answer_begins() -> None:
    events = encode(
        pb.MessageStarted(message_id="m1"), thought("h"), thought("m"), said("so"), pb.MessageFinished(message_id="m1"),
        finished(),
    )  # fmt: skip
    assert kinds(events)[1:8] == [
        "REASONING_START",
        "REASONING_MESSAGE_START",
        "REASONING_MESSAGE_CONTENT",
        "REASONING_MESSAGE_CONTENT",
        "REASONING_MESSAGE_END",
        "REASONING_END",
        "TEXT_MESSAGE_START",
    ]
    assert events[1]["messageId"] != "m1"


def test_tool_calls_of_the_server_are_answered_and_those_of_the_client_are_pending() -> None:
    events = encode(
        pb.MessageStarted(message_id="m1"),
        *call("c1", "search", '{"q":', "1}"),
        pb.MessageFinished(message_id="m1"),
        pb.ToolResult(tool_call_id="c1", content="3 hits"),
        *call("c2", "confirm", "{}", message_id="m2"),
        finished(pb.FINISH_REASON_TOOL_CALLS),
    )
    assert kinds(events)[1:6] == [
        "TOOL_CALL_START",
        "TOOL_CALL_ARGS",
        "TOOL_CALL_ARGS",
        "TOOL_CALL_END",
        "TOOL_CALL_RESULT",
    ]
    assert events[1]["parentMessageId"] == "m1"
    assert events[-1]["outcome"] == {"type": "success", "pendingToolCallIds": ["c2"]}


def test_a_message_that_says_nothing_is_one_all_the_same() -> None:
    assert kinds(encode(*message(), finished()))[1:3] == ["TEXT_MESSAGE_START", "TEXT_MESSAGE_END"]


def test_a_replaced_text_restates_the_conversation_and_goes_on() -> None:
    events = encode(
        *message("first", message_id="m0"),
        *call("c1", "search", "{}", message_id="m0"),
        pb.ToolResult(tool_call_id="c1", content="3"),
        pb.MessageStarted(message_id="m1"),
        thought("hm"),
        said("Hel"),
        pb.MessageReplaced(message_id="m1", text="Good "),
        said("day"),
        pb.MessageFinished(message_id="m1"),
        finished(),
    )
    snapshot = next(event for event in events if event["type"] == "MESSAGES_SNAPSHOT")
    called = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    assert snapshot["messages"] == [
        HISTORY[0],
        {"id": "m0", "role": "assistant", "content": "first", "toolCalls": [called]},
        {"id": "c1.result", "role": "tool", "toolCallId": "c1", "content": "3"},
        {"id": "m1", "role": "assistant", "content": "Good "},
    ]
    after = events[events.index(snapshot) + 1 :]
    assert kinds(after)[:3] == ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"]
    assert after[1]["delta"] == "day"


def test_steps_of_one_name_that_overlap_get_names_of_their_own() -> None:
    events = encode(
        pb.StepStarted(step_id="a", name="tool"),
        pb.StepStarted(step_id="b", name="tool"),
        pb.StepStarted(step_id="a", name="tool"),
        pb.StepFinished(step_id="a", name="tool"),
        pb.StepFinished(step_id="b", name="tool"),
        pb.StepFinished(step_id="c", name="tool"),
        finished(),
    )
    assert [event["stepName"] for event in events if "stepName" in event] == ["tool", "tool 2", "tool", "tool 2"]


@pytest.mark.parametrize("cause", pb.CancelCause.values())
def test_a_stopped_run_closes_what_it_opened_and_is_no_success(cause: int) -> None:
    events = encode(
        pb.StepStarted(step_id="s", name="model"),
        pb.StepStarted(step_id="t", name="tool"),
        thought("hm"),
        pb.ToolCallStarted(tool_call_id="c", name="look", message_id="m1"),
        said("Hel"),
        pb.RunCancelled(cause=pb.CancelCause.Name(cause)),  # type: ignore[arg-type]
    )
    assert events[-1]["outcome"] == {"type": "cancelled"}
    assert kinds(events)[-5:-1] == ["TEXT_MESSAGE_END", "TOOL_CALL_END", "STEP_FINISHED", "STEP_FINISHED"]


def test_a_failed_run_says_why() -> None:
    failed = pb.RunFailed(reason=ErrorReason.ERROR_REASON_MODEL_TIMEOUT, message="The model is silent.")
    events = encode(said("Hel"), used(3, 1), failed)
    assert events[-1] == {
        "type": "RUN_ERROR",
        "message": "The model is silent.",
        "code": "model_timeout",
        "usage": [{"provider": "ollama", "model": "m", "inputTokens": 3, "outputTokens": 1, "totalTokens": 4}],
    }


def test_an_interrupt_asks_its_questions() -> None:
    interrupt = pb.Interrupt(id="i", reason="tool_approval", message="May I?", response_json_schema='{"type":"object"}')
    events = encode(pb.RunInterrupted(interrupts=[interrupt]))
    assert events[-1]["outcome"] == {
        "type": "interrupt",
        "interrupts": [
            {"id": "i", "reason": "tool_approval", "message": "May I?", "responseSchema": {"type": "object"}}
        ],
    }


def test_state_artifacts_and_activities_travel() -> None:
    events = encode(
        pb.StateSnapshot(json='{"a":1}'),
        pb.StateDelta(patch_json='[{"op":"add","path":"/b","value":null}]'),
        pb.ArtifactDelta(artifact_id="x", version=1, patch_json="[]"),
        pb.Activity(kind=pb.ACTIVITY_KIND_QUEUED, position=2),
        finished(),
    )
    assert events[1:5] == [
        {"type": "STATE_SNAPSHOT", "snapshot": {"a": 1}},
        {"type": "STATE_DELTA", "delta": [{"op": "add", "path": "/b", "value": None}]},
        {"type": "CUSTOM", "name": "dormouse.artifact_delta", "value": {"artifactId": "x", "version": 1, "patch": []}},
        {"type": "CUSTOM", "name": "dormouse.activity", "value": {"kind": "queued", "position": 2}},
    ]


def test_a_stream_that_breaks_still_ends_lawfully() -> None:
    encoder = AguiEncoder(thread_id="T", run_id="R", history=list)
    raw = encoder.encode(log(started(), said("Hel")))
    raw += encoder.broken(ApiError.of(ErrorReason.ERROR_REASON_SHUTTING_DOWN, "The server is shutting down."))
    assert check_stream(raw)[-1]["code"] == "shutting_down"
