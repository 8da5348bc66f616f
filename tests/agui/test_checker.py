"""The judge itself: it lets lawful streams pass and stops broken ones at the event that breaks them."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.agui import AguiChecker, AguiViolationError, check_events, check_stream, parse_stream

E = Mapping[str, Any]
STARTED: E = {"type": "RUN_STARTED", "threadId": "t", "runId": "r", "protocolVersion": "1.0"}
FINISHED: E = {"type": "RUN_FINISHED", "threadId": "t", "runId": "r", "outcome": {"type": "success"}}
TEXT: E = {"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant"}
SAID: E = {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "a"}
TEXT_END: E = {"type": "TEXT_MESSAGE_END", "messageId": "m"}
SPAN: E = {"type": "REASONING_START", "messageId": "x"}
SPAN_END: E = {"type": "REASONING_END", "messageId": "x"}
THOUGHT: E = {"type": "REASONING_MESSAGE_START", "messageId": "x", "role": "reasoning"}
THOUGHT_END: E = {"type": "REASONING_MESSAGE_END", "messageId": "x"}
CALL: E = {"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "look", "parentMessageId": "m"}
CALL_END: E = {"type": "TOOL_CALL_END", "toolCallId": "c"}
RESULT: E = {"type": "TOOL_CALL_RESULT", "messageId": "c.r", "toolCallId": "c", "content": "3", "role": "tool"}
SNAPSHOT: E = {"type": "STATE_SNAPSHOT", "snapshot": {"a": {}}}
CHANGED: E = {"type": "STATE_DELTA", "delta": [{"op": "add", "path": "/a/b", "value": None}]}
ACTIVITY: E = {"type": "ACTIVITY_SNAPSHOT", "messageId": "v", "activityType": "x", "content": {"at": 0}}
PROGRESS: E = {
    "type": "ACTIVITY_DELTA", "messageId": "v", "activityType": "x",
    "patch": [{"op": "replace", "path": "/at", "value": 1}],
}  # fmt: skip
STEP: E = {"type": "STEP_STARTED", "stepName": "model"}
STEP_END: E = {"type": "STEP_FINISHED", "stepName": "model"}


def finished(**changes: Any) -> E:
    return {**FINISHED, **changes}


def asking(*interrupts: E) -> E:
    return finished(outcome={"type": "interrupt", "interrupts": list(interrupts)})


@pytest.mark.parametrize(
    "events",
    [
        [STARTED, FINISHED],
        [STARTED, STEP, TEXT, SAID, SAID, TEXT_END, STEP_END, FINISHED],
        [STARTED, SPAN, THOUGHT, THOUGHT_END, SPAN_END, TEXT, SAID, TEXT_END, FINISHED],
        [STARTED, CALL, CALL_END, RESULT, TEXT, SAID, TEXT_END, FINISHED],
        [STARTED, CALL, CALL_END, finished(outcome={"type": "success", "pendingToolCallIds": ["c"]})],
        [STARTED, TEXT, SAID, TEXT_END, TEXT, SAID, TEXT_END, FINISHED],
        [STARTED, TEXT, SAID, {"type": "RUN_ERROR", "message": "The model does not answer."}],
        [{"type": "RUN_ERROR", "message": "Nothing answers.", "code": "function_unavailable"}],
        [STARTED, finished(outcome={"type": "cancelled"})],
        [STARTED, finished(outcome={"type": "interrupt", "interrupts": [{"id": "i", "reason": "tool_approval"}]})],
        [STARTED, SNAPSHOT, CHANGED, CHANGED, FINISHED],
        [STARTED, ACTIVITY, PROGRESS, FINISHED],
        [STARTED, CALL, CALL_END, asking({"id": "i", "reason": "tool_call", "toolCallId": "c"})],
        [STARTED, {"type": "CUSTOM", "name": "x", "value": {"free": None}}, FINISHED],
    ],
)
def test_a_lawful_stream_passes(events: list[E]) -> None:
    assert check_events(events) == events


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([], "without a terminal event"),
        ([STARTED, TEXT, SAID, TEXT_END], "without a terminal event"),
        ([TEXT], "first"),
        ([{**STARTED, "protocolVersion": "0.9"}], "protocolVersion"),
        ([{key: STARTED[key] for key in ("type", "threadId", "runId")}], "protocolVersion"),
        ([STARTED, STARTED], "second run"),
        ([STARTED, FINISHED, SAID], "after the terminal event"),
        ([STARTED, {"type": "RUN_ERROR", "message": "x"}, FINISHED], "after the terminal event"),
        ([STARTED, SAID], "not open"),
        ([STARTED, TEXT, TEXT], "is open"),
        ([STARTED, TEXT, TEXT_END, SAID], "not open"),
        ([STARTED, TEXT, FINISHED], "leaves open"),
        ([STARTED, STEP, FINISHED], "leaves open"),
        ([STARTED, STEP, STEP], "is open"),
        ([STARTED, STEP_END], "not open"),
        ([STARTED, SPAN, FINISHED], "leaves open"),
        ([STARTED, SPAN, THOUGHT, SPAN_END, FINISHED], "leaves open"),
        ([STARTED, THOUGHT_END], "not open"),
        ([STARTED, CALL, FINISHED], "leaves open"),
        ([STARTED, RESULT], "not called"),
        ([STARTED, CALL, RESULT], "still open"),
        ([STARTED, CALL, CALL_END, RESULT, RESULT], "second time"),
        ([STARTED, THOUGHT, THOUGHT_END, {**TEXT, "messageId": "x"}], "reasoning message to a text message"),
        ([STARTED, TEXT, {**SAID, "delta": ""}], "empty delta"),
        ([STARTED, TEXT, {**SAID, "delta": None}], "valid string"),
        ([STARTED, {**TEXT, "name": None}], "null"),
        ([STARTED, {**TEXT, "invented": 1}], "does not know"),
        ([STARTED, {"type": "INVENTED"}], "INVENTED"),
        ([STARTED, finished(runId="other")], "does not end the run"),
        ([STARTED, {key: FINISHED[key] for key in ("type", "threadId", "runId")}], "no outcome"),
        ([STARTED, finished(outcome={"type": "stopped"})], "stopped"),
        ([STARTED, finished(outcome={"type": "interrupt", "interrupts": []})], "at least 1"),
        ([STARTED, finished(outcome={"type": "success", "pendingToolCallIds": ["c"]})], "pending"),
        ([STARTED, CALL, CALL_END, finished(outcome={"type": "success", "pendingToolCallIds": []})], "pending"),
        ([STARTED, asking({"id": "i", "reason": "tool_call", "toolCallId": "c"})], "not made"),
        ([STARTED, CALL, CALL_END, RESULT, asking({"id": "i", "reason": "x", "toolCallId": "c"})], "is answered"),
        ([STARTED, asking({"id": "i", "reason": "tool_call"})], "does not say which"),
        ([STARTED, asking({"id": "i", "reason": "x"}, {"id": "i", "reason": "x"})], "one id"),
        ([STARTED, CHANGED], "before a snapshot"),
        ([STARTED, {**SNAPSHOT, "snapshot": {}}, CHANGED], "does not apply"),
        ([STARTED, {**ACTIVITY, "content": {}}, PROGRESS], "does not apply"),
        ([STARTED, finished(usage=[{"model": "m", "inputTokens": -1}])], "greater than or equal to 0"),
        ([STARTED, finished(usage=[{"model": None, "inputTokens": 1}])], "null"),
        ([STARTED, {"type": "STATE_DELTA", "delta": [{"op": "add", "path": "a", "value": 1}]}], "pattern"),
        ([STARTED, {"type": "STATE_DELTA", "delta": [{"op": "swap", "path": "/a"}]}], "swap"),
        ([STARTED, {"type": "STATE_DELTA", "delta": []}], "empty delta"),
        ([STARTED, {"type": "ACTIVITY_DELTA", "messageId": "a", "activityType": "x", "patch": []}], "no snapshot"),
        (
            [STARTED, {"type": "MESSAGES_SNAPSHOT", "messages": [{"id": "1", "role": "user", "content": "x"}] * 2}],
            "twice",
        ),
        ([STARTED, {"type": "SUBAGENT_ERROR", "subagentRunId": "s", "message": "x"}], "not open"),
    ],
)
def test_a_broken_stream_is_stopped(events: list[E], complaint: str) -> None:
    with pytest.raises(AguiViolationError, match=complaint):
        check_events(events)


def test_a_run_that_goes_on_may_answer_what_was_called_before() -> None:
    assert check_events([STARTED, RESULT, FINISHED], calls=["c"])
    assert check_events([STARTED, CALL, CALL_END, finished(outcome={"type": "success", "pendingToolCallIds": ["c"]})])
    with pytest.raises(AguiViolationError, match="not called"):
        check_events([STARTED, RESULT, RESULT, FINISHED], calls=["c"])


def test_the_judge_holds_what_a_client_would_hold() -> None:
    checker = AguiChecker({"mine": 1})
    assert checker.state == {"mine": 1}
    for event in (STARTED, SNAPSHOT, CHANGED, ACTIVITY, PROGRESS, CALL):
        checker.feed(event)
    assert checker.state == {"a": {"b": None}}
    assert checker.activities == {"v": {"at": 1}}
    assert checker.unanswered_calls == {"c"}


def test_the_bytes_are_judged_too() -> None:
    lawful = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in (STARTED, FINISHED))
    assert check_stream(b": ping\n\n" + lawful) == [STARTED, FINISHED]
    for broken, complaint in (
        (lawful.replace(b"\n", b"\r\n"), "CR"),
        (lawful[:-1], "cut off"),
        (b"event: x\n" + lawful, "not one data line"),
        (b"data: [1]\n\n", "not an object"),
        (b"data: {}\ndata: {}\n\n", "not one data line"),
    ):
        with pytest.raises(AguiViolationError, match=complaint):
            parse_stream(broken)
