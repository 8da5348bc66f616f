"""AG-UI events from canonical logs; the judge reads every stream."""

from collections.abc import Mapping
from typing import Any

import pytest
from dormouse.agent.v1 import run_event_pb2 as pb
from dormouse.common.v1.error_pb2 import ErrorReason
from edge.agui.encoder import AguiEncoder
from edge.errors import ApiError

from tests.agui import AguiChecker, check_stream, parse_stream
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
        pb.ToolResult(tool_call_id="c1", content="3 hits", is_error=True, outcome_unknown=True),
        *call("c2", "confirm", "{}", message_id="m2", at_client=True),
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
    assert events[5]["metadata"] == {"dormouse": {"isError": True, "outcomeUnknown": True}}
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


def test_calls_of_a_plan_have_no_message() -> None:
    events = encode(*call("p1", "math", "{}", message_id=""), pb.ToolResult(tool_call_id="p1", content="4"), finished())
    assert events[1] == {"type": "TOOL_CALL_START", "toolCallId": "p1", "toolCallName": "math"}
    assert "metadata" not in events[4]


def test_an_interrupt_asks_its_questions() -> None:
    asked = [
        pb.Interrupt(id="i", reason="colour", message="Which?", response_json_schema='{"type":"string"}'),
        approval("c1"),
    ]
    events = encode(*call("c1", "send", "{}"), pb.RunInterrupted(interrupts=asked))
    first, second = events[-1]["outcome"]["interrupts"]
    assert first == {"id": "i", "reason": "colour", "message": "Which?", "responseSchema": {"type": "string"}}
    assert (second["id"], second["reason"], second["toolCallId"]) == ("c1.approval", "tool_call", "c1")
    assert second["responseSchema"]["required"] == ["approved"]
    assert second["metadata"] == {"dormouse": {"tool": "send", "arguments": {}}}


def approval(call_id: str) -> pb.Interrupt:
    return pb.Interrupt(
        id=f"{call_id}.approval",
        reason="tool_approval",
        message="May I?",
        tool_call_id=call_id,
        response_json_schema="{}",
        details_json='{"tool":"send","arguments":{}}',
    )


def go_on(*payloads: Any) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """The stream up to the interrupt and the one behind it, both judged."""
    events = log(started("thread_1"), *payloads)
    (border,) = (event.seq for event in events if event.WhichOneof("event") == "run_interrupted")
    first = AguiEncoder(thread_id="T", run_id="R", history=lambda: HISTORY).encode(events[:border])
    asked = AguiChecker()
    for event in parse_stream(first):
        asked.feed(event)
    whole = AguiEncoder(thread_id="T", run_id="R2", history=lambda: HISTORY, resumed_at=border).encode(events)
    single = AguiEncoder(thread_id="T", run_id="R2", history=lambda: HISTORY, resumed_at=border)
    assert b"".join(single.encode([event]) for event in events) == whole
    return check_stream(first), check_stream(whole, state=asked.state, calls=asked.unanswered_calls)


def test_a_run_that_was_answered_goes_on_in_another_stream() -> None:
    before, after = go_on(
        pb.StepStarted(step_id="s", name="plan"),
        *message("I ask.", message_id="m1"),
        *call("c1", "send", "{}"),
        pb.StateSnapshot(json='{"sent":0}'),
        used(3, 5),
        pb.RunInterrupted(interrupts=[approval("c1")]),
        pb.RunResumed(answers=[pb.InterruptAnswer(interrupt_id="c1.approval", response_json="{}")]),
        pb.ToolResult(tool_call_id="c1", content="sent"),
        pb.StateDelta(patch_json='[{"op":"replace","path":"/sent","value":1}]'),
        pb.StepFinished(step_id="s", name="plan"),
        *message("Done.", message_id="m2"),
        used(4, 6),
        finished(),
    )
    assert before[-1]["outcome"]["type"] == "interrupt"
    assert kinds(after) == [
        "RUN_STARTED", "STEP_STARTED", "TOOL_CALL_RESULT", "STATE_SNAPSHOT", "STATE_DELTA", "STEP_FINISHED",
        "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "RUN_FINISHED",
    ]  # fmt: skip
    assert (after[0]["runId"], after[-1]["runId"]) == ("R2", "R2")
    assert after[3]["snapshot"] == {"sent": 0, "artifacts": {}}
    assert after[-1]["usage"][0]["totalTokens"] == 10, "what was reported before the interrupt is not reported again"


def test_a_client_call_from_before_the_interrupt_is_pending_after_it() -> None:
    _, after = go_on(
        *message("I ask.", message_id="m1"),
        *call("c0", "confirm", '{"a":1}', at_client=True),
        *call("c1", "send", "{}"),
        pb.RunInterrupted(interrupts=[approval("c1")]),
        pb.RunResumed(),
        pb.ToolResult(tool_call_id="c1", content="sent"),
        finished(pb.FINISH_REASON_TOOL_CALLS),
    )
    assert after[-1]["outcome"]["pendingToolCallIds"] == ["c0"]
    assert kinds(after)[2:4] == ["TOOL_CALL_START", "TOOL_CALL_END"]


def test_a_replaced_text_after_an_interrupt_restates_each_message_once() -> None:
    history = [*HISTORY, {"id": "m1", "role": "assistant", "content": "I ask."}]
    events = log(
        started("t"),
        *message("I ask.", message_id="m1"),
        *call("c1", "send", "{}"),
        pb.RunInterrupted(interrupts=[approval("c1")]),
        pb.RunResumed(),
        pb.ToolResult(tool_call_id="c1", content="sent"),
        said("Don", "m2"),
        pb.MessageReplaced(message_id="m2", text="Sent."),
        finished(),
    )
    encoder = AguiEncoder(thread_id="T", run_id="R2", history=lambda: history, resumed_at=events[7].seq)
    told = check_stream(encoder.encode(events), calls=["c1"])
    (snapshot,) = (event for event in told if event["type"] == "MESSAGES_SNAPSHOT")
    assert [message["id"] for message in snapshot["messages"]] == ["u1", "m1", "c1.result", "m2"]


def test_activities_pass_by_and_tools_report_on_widgets_of_their_own() -> None:
    events = encode(
        pb.Activity(kind=pb.ACTIVITY_KIND_QUEUED, position=2),
        *call("c1", "math", "{}"),
        pb.Activity(kind=pb.ACTIVITY_KIND_RUNNING_TOOL, subject="math", message="Thinking."),
        pb.Activity(kind=pb.ACTIVITY_KIND_RUNNING_TOOL, subject="math", message="Half way."),
        pb.Activity(kind=pb.ACTIVITY_KIND_RUNNING_TOOL, subject="other", message="Who?"),
        pb.ToolResult(tool_call_id="c1", content="4"),
        finished(),
    )
    assert events[1] == {"type": "CUSTOM", "name": "dormouse.activity", "value": {"kind": "queued", "position": 2}}
    shown = [event for event in events if event["type"].startswith("ACTIVITY")]
    assert shown[0]["content"] == {"toolCallId": "c1", "tool": "math", "message": "Thinking.", "status": "running"}
    assert [step["value"] for event in shown[1:] for step in event["patch"]] == ["Half way.", "done"]
    assert events[7]["value"] == {"kind": "running_tool", "subject": "other", "message": "Who?"}


def test_a_stream_that_breaks_still_ends_lawfully() -> None:
    encoder = AguiEncoder(thread_id="T", run_id="R", history=list)
    raw = encoder.encode(log(started(), said("Hel")))
    raw += encoder.broken(ApiError.of(ErrorReason.ERROR_REASON_SHUTTING_DOWN, "The server is shutting down."))
    assert check_stream(raw)[-1]["code"] == "shutting_down"
