"""A log as a tree: what lies inside of what, for how long, in one attempt or several."""

from collections.abc import Sequence
from itertools import count
from typing import Any

import orjson
import pytest
from dormouse.agent.v1 import run_event_pb2 as pb
from dormouse.agent.v1.run_event_pb2 import RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from edge.native.trace import Trace, trace_of
from edge.native.trace_schemas import RunTrace
from edge.native.trace_text import trace_to_json, trace_to_text
from edge.runs.events import merge_deltas

from tests.unit.edge.events import call, finished, log, message, said, started, thought, used

START_MS = 1_795_000_000_000


def clocked(*payloads: Any) -> list[RunEvent]:
    """A log in which ten milliseconds pass between any two events."""
    events, times = log(*payloads), count(START_MS, 10)
    for event in events:
        event.unix_ms = next(times)
    return events


def traced(*payloads: Any) -> Trace:
    """The trace of a log, which is also lawful as JSON and can be told as a tree."""
    trace = trace_of(clocked(*payloads))
    told = trace_to_json(trace)
    RunTrace.model_validate_json(orjson.dumps(told))
    assert trace.root.id in trace_to_text(trace)
    return trace


def shape(span: Any) -> Any:
    """Kinds and names, nested."""
    inner = [shape(child) for child in span.children]
    name = (
        f"{span.kind} {span.id}" if span.kind in ("message", "tool_call", "interrupt") else f"{span.kind} {span.name}"
    )
    return (name, inner) if inner else name


def step(step_id: str, name: str, *inside: Any) -> list[Any]:
    begin, end = pb.StepStarted(step_id=step_id, name=name), pb.StepFinished(step_id=step_id, name=name)
    return [begin, *inside, end]


def result(call_id: str, content: str = "4", **facts: Any) -> pb.ToolResult:
    return pb.ToolResult(tool_call_id=call_id, content=content, duration_ms=3, **facts)


REACT: Sequence[Any] = [
    started("thread_1"),
    *step(
        "m1.step", "model", pb.MessageStarted(message_id="m1"), thought("I compute."), said("Let me see."),
        *call("m1.c0", "math", '{"expression":', '"2+2"}'), *call("m1.c1", "look", "no json"),
        pb.MessageFinished(message_id="m1"), used(10, 5, 2),
    ),
    *step("m1.tools", "tools", result("m1.c0"), result("m1.c1", "Not found.", is_error=True)),
    *step("m2.step", "model", *message("It is ", "4.", message_id="m2"), used(20, 3)),
    finished(),
]  # fmt: skip


def test_a_run_with_tools_is_a_tree_of_all_it_did() -> None:
    trace = traced(*REACT)
    assert shape(trace.root) == (
        "run chat",
        [
            (
                "attempt attempt 1",
                [
                    ("step model", ["message m1"]),
                    ("step tools", ["tool_call m1.c0", "tool_call m1.c1"]),
                    ("step model", ["message m2"]),
                ],
            )
        ],
    )
    assert trace.status == "completed"
    assert trace.root.duration_ms == (len(REACT) - 1) * 10
    first, tools, _ = trace.root.children[0].children
    assert first.facts["model_calls"][0]["prompt_tokens"] == 10
    speech = first.children[0]
    assert (speech.facts["reasoning"], speech.facts["text"]) == ("I compute.", "Let me see.")
    assert (speech.facts["size"], speech.facts["pieces"], speech.facts["first_token_ms"]) == (11, 2, 10)
    math, look = tools.children
    assert math.facts["arguments"] == {"expression": "2+2"}
    assert math.facts["result"] == {
        "content": "4", "size": 1, "is_error": False, "outcome_unknown": False, "tool_ms": 3, "sources": [],
    }  # fmt: skip
    assert look.facts["arguments"] == "no json"
    assert math.started_ms == tools.started_ms
    assert math.duration_ms == 10
    totals = trace.totals
    assert (totals.model_calls, totals.prompt_tokens, totals.completion_tokens, totals.reasoning_tokens) == (
        2,
        30,
        8,
        2,
    )
    assert (totals.tool_calls, totals.tool_errors, totals.tool_ms) == (2, 1, 6)
    assert totals.first_token_ms == 30


def test_steps_that_run_side_by_side_keep_apart_what_is_theirs() -> None:
    def asked(name: str, tokens: int) -> list[Any]:
        inside = f"{name}.arguments"
        usage = pb.UsageReported(model="m", prompt_tokens=tokens, step_id=inside)
        told = call(name, "math", "{}", message_id="")
        told[0].step_id = f"{name}.step"
        return [usage, pb.StepFinished(step_id=inside), *told]

    def begun(name: str) -> list[pb.StepStarted]:
        outer = pb.StepStarted(step_id=f"{name}.step", name=name)
        return [outer, pb.StepStarted(step_id=f"{name}.arguments", name="arguments", parent_step_id=f"{name}.step")]

    trace = traced(
        started(),
        *begun("s1"), *begun("s2"), *asked("s1", 1), *asked("s2", 2),
        result("s1"), pb.StepFinished(step_id="s1.step"),
        result("s2"), pb.StepFinished(step_id="s2.step"),
        finished(),
    )  # fmt: skip
    attempt = trace.root.children[0]
    assert [shape(step) for step in attempt.children] == [
        ("step s1", ["step arguments", "tool_call s1"]),
        ("step s2", ["step arguments", "tool_call s2"]),
    ]
    for number, step in enumerate(attempt.children, 1):
        arguments, tool_call = step.children
        assert [used["prompt_tokens"] for used in arguments.facts["model_calls"]] == [number]
        assert step.ended_ms == (tool_call.ended_ms or 0) + 10


@pytest.mark.parametrize("length", range(1, len(REACT) + 1))
def test_a_run_can_be_looked_into_at_every_moment(length: int) -> None:
    trace = traced(*REACT[:length])
    assert trace.status == ("completed" if length == len(REACT) else "running")
    assert (trace.root.duration_ms is None) == (length < len(REACT))


def test_a_log_that_was_merged_tells_the_same_texts_and_counts() -> None:
    whole, merged = trace_of(clocked(*REACT)), trace_of(merge_deltas(clocked(*REACT)))
    assert trace_to_json(whole) == trace_to_json(merged)


def test_a_failed_attempt_and_the_next_one_are_told_apart() -> None:
    trace = traced(
        started(),
        pb.StepStarted(step_id="s", name="model"),
        pb.MessageStarted(message_id="m1"),
        said("One, "),
        pb.Activity(kind=pb.ACTIVITY_KIND_RETRYING, subject="chat"),
        said("two."),
        pb.MessageFinished(message_id="m1"),
        pb.StepFinished(step_id="s", name="model"),
        finished(),
    )
    assert shape(trace.root) == (
        "run chat",
        [
            ("attempt attempt 1", [("step model", ["message m1"])]),
            ("attempt attempt 2", [("step model", ["message m1"])]),
        ],
    )
    before, after = (attempt.children[0] for attempt in trace.root.children)
    assert (before.facts["broken_off"], after.facts["continued"]) == (True, True)
    assert (before.children[0].facts["text"], after.children[0].facts["text"]) == ("One, ", "two.")
    assert before.children[0].facts["broken_off"]
    assert after.children[0].facts["continued"]
    assert after.facts["activities"] == [{"after_ms": 40, "kind": "retrying", "subject": "chat"}]


INTERRUPT = pb.Interrupt(
    id="m1.c0.approval",
    reason="tool_approval",
    message="May I send it?",
    tool_call_id="m1.c0",
    details_json='{"tool":"send","arguments":{}}',
)
ASKING: Sequence[Any] = [
    started(),
    *step("m1.step", "model", *message(message_id="m1"), *call("m1.c0", "send", "{}")),
    pb.StepStarted(step_id="m1.tools", name="tools"),
    pb.RunInterrupted(interrupts=[INTERRUPT]),
]


def test_a_question_is_a_span_between_attempts_that_lasts_as_long_as_the_person_took() -> None:
    trace = traced(*ASKING)
    assert (trace.status, trace.root.ended_ms) == ("interrupted", None)
    question = trace.root.children[1]
    assert (question.kind, question.ended_ms) == ("interrupt", None)
    answered = pb.InterruptAnswer(interrupt_id=INTERRUPT.id, response_json='{"action":"approve"}')
    trace = traced(
        *ASKING,
        pb.RunResumed(answers=[answered]),
        result("m1.c0", "sent"),
        pb.StepFinished(step_id="m1.tools", name="tools"),
        finished(),
    )
    assert shape(trace.root) == (
        "run chat",
        [
            ("attempt attempt 1", [("step model", ["message m1"]), "step tools"]),
            "interrupt m1.c0.approval",
            ("attempt attempt 2", [("step tools", ["tool_call m1.c0"])]),
        ],
    )
    question = trace.root.children[1]
    assert (question.duration_ms, question.facts["answer"]) == (10, {"action": "approve"})
    assert trace.totals.waited_ms == 10
    assert trace.status == "completed"


def test_a_question_that_nobody_is_to_answer_any_more_ends() -> None:
    trace = traced(*ASKING, pb.RunCancelled(cause=pb.CANCEL_CAUSE_REQUESTED))
    assert (trace.status, trace.root.facts["cause"]) == ("cancelled", "requested")
    assert trace.root.children[1].duration_ms == 10


def test_calls_for_the_client_stay_open_where_they_were_asked_for() -> None:
    asked = call("m1.c0", "confirm", "{}", at_client=True)
    trace = traced(started(), *step("s", "model", *asked), finished(pb.FINISH_REASON_TOOL_CALLS))
    (pending,) = trace.root.children[0].children[0].children
    assert (pending.id, pending.ended_ms, pending.facts["at_client"]) == ("m1.c0", None, True)
    assert trace.root.facts["finish_reason"] == "tool_calls"


def test_state_artifacts_and_errors_are_told() -> None:
    failed = pb.RunFailed(reason=ErrorReason.ERROR_REASON_MODEL_TIMEOUT, message="The model is silent.")
    trace = traced(
        started(),
        pb.StateSnapshot(json='{"plan":[]}'),
        pb.StateDelta(patch_json='[{"op":"add","path":"/plan/-","value":"look"}]'),
        pb.StateDelta(patch_json='[{"op":"remove","path":"/nothing"}]'),
        pb.ArtifactSaved(artifact_id="art_1", version=2),
        failed,
    )
    assert trace.root.facts["state"] == {"plan": ["look"]}
    assert trace.root.facts["error"]["code"] == "model_timeout"
    assert trace.root.children[0].facts["artifacts"] == [{"artifact_id": "art_1", "version": 2}]


def test_the_tree_can_be_read() -> None:
    text = trace_to_text(trace_of(clocked(*REACT)))
    for words in (
        "run_1  completed",
        "30 + 8 tokens in 2 model calls, 2 tool calls (1 failed)",
        "step tools",
        'with: {"expression":"2+2"}',
        "result: 4",
        "error: Not found.",
        "thought: I compute.",
        "said: It is 4.",
    ):
        assert words in text
    long = trace_to_text(trace_of(clocked(started(), *message("word " * 100), finished())))
    assert "(500 characters)" in long
    assert max(len(line) for line in long.split("\n")) < 240
