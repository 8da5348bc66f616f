"""What a new attempt is told of the log."""

from dormouse.agent.v1.message_pb2 import Message, Role
from dormouse.agent.v1.run_event_pb2 import (
    InterruptAnswer,
    MessageDelta,
    RunEvent,
    RunResumed,
    StateDelta,
    StateSnapshot,
    ToolCallArgs,
    ToolCallStarted,
    ToolResult,
)
from dormouse.common.v1.source_pb2 import Source
from edge.runs.recovery import LogAccount


def account_of(*events: RunEvent) -> LogAccount:
    account = LogAccount()
    for event in events:
        account.take(event, event.WhichOneof("event") or "")
    return account


def said(text: str, message_id: str = "m1") -> RunEvent:
    return RunEvent(message_delta=MessageDelta(message_id=message_id, text=text, pieces=1))


def called(call_id: str, message_id: str = "m1", *, at_client: bool = False) -> list[RunEvent]:
    started = ToolCallStarted(tool_call_id=call_id, name="tool", message_id=message_id, at_client=at_client)
    return [
        RunEvent(tool_call_started=started),
        RunEvent(tool_call_args=ToolCallArgs(tool_call_id=call_id, delta="{}")),
    ]


def brought(call_id: str, content: str, *, unknown: bool = False) -> RunEvent:
    result = ToolResult(tool_call_id=call_id, content=content, is_error=unknown, outcome_unknown=unknown)
    return RunEvent(tool_result=result)


def snapshot(json: str) -> RunEvent:
    return RunEvent(state_snapshot=StateSnapshot(json=json))


def patch(json: str) -> RunEvent:
    return RunEvent(state_delta=StateDelta(patch_json=json))


def resumed(interrupt_id: str) -> RunEvent:
    return RunEvent(run_resumed=RunResumed(answers=[InterruptAnswer(interrupt_id=interrupt_id, response_json="1")]))


def texts(messages: list[Message]) -> list[tuple[str, str]]:
    return [(Role.Name(message.role), "".join(part.text for part in message.content)) for message in messages]


def test_the_state_is_its_latest_snapshot_and_the_patches_behind_it() -> None:
    account = account_of(patch("[0]"), snapshot("{}"), patch("[1]"), snapshot('{"a":1}'), patch("[2]"), patch("[3]"))
    recovery = account.recovery(attempt=2, may_replace=True, tokens=7)
    assert (recovery.state_json, list(recovery.state_patches_json)) == ('{"a":1}', ["[2]", "[3]"])
    assert recovery.tokens == 7
    alone = account_of(patch("[0]")).recovery(attempt=2, may_replace=True, tokens=0)
    assert (alone.state_json, list(alone.state_patches_json)) == ("", ["[0]"])


def test_state_and_answers_outlast_a_checkpoint() -> None:
    account = account_of(said("hi"), patch("[0]"), resumed("a"))
    account.clear()
    account.take(resumed("b"), "run_resumed")
    recovery = account.recovery(attempt=2, may_replace=True, tokens=0)
    assert (len(recovery.messages), list(recovery.state_patches_json)) == (0, ["[0]"])
    assert [answer.interrupt_id for answer in account.answers] == ["a", "b"]


def test_a_result_that_says_that_nobody_knows_is_a_result() -> None:
    account = account_of(
        *called("c1"), *called("c2"), *called("c3"), brought("c1", "42"), brought("c2", "?", unknown=True)
    )
    known, unknown, none = account.recovery(attempt=2, may_replace=True, tokens=0).tool_results
    assert (known.content, known.is_error, known.outcome_unknown) == ("42", False, False)
    assert (unknown.content, unknown.is_error, unknown.outcome_unknown) == ("?", True, True)
    assert (none.content, none.is_error, none.outcome_unknown) == ("", False, True)


def test_whoever_goes_on_after_a_run_reads_what_it_said_and_did() -> None:
    account = account_of(
        said("Let me see."),
        *called("c1"),
        *called("c2"),
        *called("c3"),
        brought("c1", "42"),
        *called("c4", "m2", at_client=True),
        said("It is 42.", "m3"),
    )
    messages = account.partial_messages({"c3"})
    assert texts(messages) == [
        ("ROLE_ASSISTANT", "Let me see."),
        ("ROLE_TOOL", "42"),
        ("ROLE_TOOL", "The run was stopped while this call was under way. Whether it was carried out is not known."),
        ("ROLE_TOOL", "This call was not carried out: the run was stopped before somebody approved it."),
        ("ROLE_ASSISTANT", "It is 42."),
    ]
    assert [call.id for call in messages[0].tool_calls] == ["c1", "c2", "c3"]
    assert [message.tool_call_id for message in messages[1:4]] == ["c1", "c2", "c3"]


def test_the_passages_that_a_stopped_run_has_brought_stay_with_what_it_said() -> None:
    def searched(call_id: str, label: str) -> RunEvent:
        source = Source(label=label, document_id="file-a", chunk_id=f"a.{label}", text="Thirty days.")
        return RunEvent(tool_result=ToolResult(tool_call_id=call_id, content=f"[{label}] …", sources=[source]))

    account = account_of(
        said("Let me see."), *called("c1"), searched("c1", "1"), *called("p1", ""), searched("p1", "2"),
        *called("p2", ""), searched("p2", "3"), said("It is 30 days [1, 2]; and then", "m3"),
    )  # fmt: skip
    asking, result, answer = account.partial_messages()
    assert not asking.sources
    assert [source.label for source in result.sources] == ["1"]
    assert [source.label for source in answer.sources] == ["2"], "what no message of the thread quotes, if cited"
