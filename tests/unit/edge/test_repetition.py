"""What a repeated attempt says again is not told twice; what is new is told whole."""

from dormouse.agent.v1.run_event_pb2 import (
    Citation,
    MessageFinished,
    MessageStarted,
    RunEvent,
    StateDelta,
    StepFinished,
    StepStarted,
    ToolCallArgs,
    ToolCallFinished,
    ToolCallStarted,
    ToolResult,
)
from edge.runs.repetition import CHECKED, Told


def told_of(told: Told, *events: RunEvent) -> list[str]:
    """Lets an attempt say events; the kinds of those that are told."""
    passed: list[str] = []
    for event in events:
        kind: str = event.WhichOneof("event") or ""
        if kind not in CHECKED or not told.is_repetition(event, kind):
            passed.append(kind)
            if kind in CHECKED:
                told.take(event, kind)
    return passed


def step(name: str) -> list[RunEvent]:
    return [
        RunEvent(step_started=StepStarted(step_id=name, name="step")),
        RunEvent(step_finished=StepFinished(step_id=name, name="step")),
    ]


def message(name: str) -> list[RunEvent]:
    return [
        RunEvent(message_started=MessageStarted(message_id=name)),
        RunEvent(message_finished=MessageFinished(message_id=name)),
    ]


def arguments(text: str, name: str = "x") -> RunEvent:
    return RunEvent(tool_call_args=ToolCallArgs(tool_call_id=name, delta=text))


def call(name: str, *pieces: str) -> list[RunEvent]:
    return [
        RunEvent(tool_call_started=ToolCallStarted(tool_call_id=name, name="tool")),
        *(arguments(piece, name) for piece in pieces),
        RunEvent(tool_call_finished=ToolCallFinished(tool_call_id=name)),
        RunEvent(tool_result=ToolResult(tool_call_id=name, content="result")),
    ]


def test_steps_messages_and_calls_are_told_once() -> None:
    told = Told()
    once = [*step("x"), *message("x"), *call("x", '{"a":', "1}")]
    assert len(told_of(told, *once)) == len(once)
    for _ in range(2):
        told.begin_attempt()
        assert told_of(told, *step("x"), *message("x"), *call("x", '{"a":', "1}")) == []


def test_what_was_begun_only_is_ended_by_the_next_attempt() -> None:
    told = Told()
    told_of(told, step("x")[0], message("x")[0], call("x", "{}")[0])
    told.begin_attempt()
    again = told_of(told, *step("x"), *message("x"), *call("x", "{}"))
    assert again == ["step_finished", "message_finished", "tool_call_args", "tool_call_finished", "tool_result"]


def test_of_arguments_only_what_was_not_told_is_however_they_are_cut() -> None:
    told = Told()
    told_of(told, arguments('{"a'), arguments('": '))
    told.begin_attempt()
    assert told_of(told, arguments("{"), arguments('"a": ')) == []
    told.begin_attempt()
    rest = arguments('a": 1}')
    assert told_of(told, arguments('{"'), rest, arguments(" ")) == ["tool_call_args", "tool_call_args"]
    assert rest.tool_call_args.delta == "1}"
    assert told_of(told, arguments("{}", "y")) == ["tool_call_args"]


def test_state_and_new_things_are_never_repetitions() -> None:
    told = Told()
    patch = RunEvent(state_delta=StateDelta(patch_json="[]"))
    assert told_of(told, patch, patch, *step("x"), *step("y")) == [
        *("state_delta", "state_delta"),
        *("step_started", "step_finished") * 2,
    ]


def test_a_citation_is_told_once() -> None:
    told = Told()
    cited = [RunEvent(citation=Citation(message_id="m1", start=0, end=end)) for end in (5, 9)]
    assert told_of(told, *cited) == ["citation", "citation"]
    told.begin_attempt()
    assert told_of(told, *cited) == []
