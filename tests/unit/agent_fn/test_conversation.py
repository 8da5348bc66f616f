"""Conversations are made ready for a model: every call has a result, and they fit."""

import pytest
from agent_fn.agents.arguments import UnreadableError, read_arguments
from agent_fn.agents.call_history import CallHistory
from agent_fn.agents.room import fitted, stripped
from agent_fn.conversation import Message, ToolCall, assistant_message, text_of, tool_message, with_calls_closed
from agent_fn.limits import RunLimits
from agent_fn.tools.port import ToolOutcome


def call(call_id: str) -> ToolCall:
    return ToolCall(id=call_id, name="look", arguments_json="{}")


def user(text: str) -> Message:
    return Message(id=text, role="user", content=[{"text": text}])


def test_calls_without_a_result_get_one_where_it_belongs() -> None:
    asked = assistant_message("m", "", "", [call("a"), call("b"), call("c")])
    closed = with_calls_closed([user("1"), asked, tool_message(call("b"), "yes"), user("2")])
    assert [message.get("tool_call_id", message["role"]) for message in closed] == [
        *("user", "assistant", "b", "a", "c", "user")
    ]
    assert "no result" in text_of(closed[3])
    assert with_calls_closed([asked])[-1]["tool_call_id"] == "c"


def test_a_conversation_whose_calls_have_results_stays_as_it_is() -> None:
    whole = [user("1"), assistant_message("m", "x", "", [call("a")]), tool_message(call("a"), "yes"), user("2")]
    assert with_calls_closed(whole) == whole


def test_the_oldest_results_give_way_until_it_fits() -> None:
    messages = [user("x" * 3000), *(tool_message(call(str(number)), "y" * 3000) for number in range(3))]
    assert fitted(messages, 0) == messages
    assert fitted(messages, 100_000) == messages
    fit = fitted(messages, 4000)
    assert [len(text_of(message)) < 800 for message in fit] == [False, True, True, False]
    assert "left out" in text_of(fit[1])
    assert [len(text_of(message)) < 800 for message in stripped(messages)] == [False, True, True, True]


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", {}),
        ("{}", {}),
        ("null", {}),
        ('{"a": 1}', {"a": 1}),
        ("{'a': 1,}", {"a": 1}),
        ('{"a": True', {"a": True}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
    ],
)
def test_arguments_are_read_where_they_can_mean_one_thing_only(text: str, arguments: object) -> None:
    assert read_arguments(text) == arguments


@pytest.mark.parametrize("text", ["[1]", "1", "what", "{a: 1}", '{"a": "b', '{"a": tru', '"x"', '{"a": "b}'])
def test_other_arguments_are_refused(text: str) -> None:
    with pytest.raises(UnreadableError, match="arguments are not"):
        read_arguments(text)


class TestHistory:
    def test_it_knows_what_a_call_brought_whatever_its_spelling(self) -> None:
        history = CallHistory()
        assert history.asked("look", {"a": 1, "b": 2}) is None
        history.brought("look", {"a": 1, "b": 2}, ToolOutcome("yes"))
        assert history.asked("look", {"b": 2, "a": 1}) == ToolOutcome("yes")
        seen = [history.is_stuck]
        history.asked("look", {"b": 2, "a": 1})
        assert [*seen, history.is_stuck] == [False, True]
        assert history.count == 3

    def test_errors_may_be_tried_again_but_not_what_nobody_knows(self) -> None:
        history = CallHistory()
        history.brought("a", {}, ToolOutcome("no", is_error=True))
        history.brought("b", {}, ToolOutcome("?", is_error=True, outcome_unknown=True))
        history.brought("c", {}, ToolOutcome("rejected", is_error=True), is_final=True)
        assert history.asked("a", {}) is None
        assert history.asked("b", {}) is not None
        assert history.asked("c", {}) is not None

    def test_a_change_makes_others_stale(self) -> None:
        history = CallHistory()
        history.brought("look", {}, ToolOutcome("1"))
        history.brought("send", {}, ToolOutcome("sent"), changes=True)
        assert history.asked("look", {}) is None
        assert history.asked("send", {}) == ToolOutcome("sent")


def test_a_caller_can_only_lower_limits() -> None:
    limits = RunLimits(10, 30, 1000)
    assert limits.lowered(0, 0, 0) == limits
    assert limits.lowered(3, 99, 500) == RunLimits(3, 30, 500)
