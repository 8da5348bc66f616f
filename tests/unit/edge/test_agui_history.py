"""What of an AG-UI client's history is new to the agent."""

import json
from typing import Any

import pytest
from dormouse.agent.v1.message_pb2 import ContentPart, Message, Role, ToolCall
from edge.agui.history import CONTEXT_ID, context_of_run, conversation_of, what_is_new
from edge.agui.schemas import RunAgentInput
from edge.ids import derived_thread_id, is_thread_id


def request(*messages: dict[str, Any], **others: Any) -> RunAgentInput:
    body = {"threadId": "t", "runId": "r", "messages": messages, **others}
    return RunAgentInput.model_validate_json(json.dumps(body))


def user(message_id: str, text: str) -> dict[str, Any]:
    return {"id": message_id, "role": "user", "content": text}


def assistant(message_id: str, text: str) -> dict[str, Any]:
    return {"id": message_id, "role": "assistant", "content": text}


def new_ids(shown: RunAgentInput, held: RunAgentInput | None) -> tuple[list[str], bool]:
    before = [] if held is None else conversation_of(held)
    new = what_is_new(conversation_of(shown), context_of_run(shown), before)
    return [message.id for message in new.messages], new.from_empty


RUN = "run_" + "a" * 24


def called(message_id: str, call_id: str) -> dict[str, Any]:
    call = {"id": call_id, "type": "function", "function": {"name": "math", "arguments": "{}"}}
    return {"id": message_id, "role": "assistant", "toolCalls": [call]}


def told(message_id: str, call_id: str) -> dict[str, Any]:
    return {"id": message_id, "role": "tool", "toolCallId": call_id, "content": "4"}


PLANNED = [called(f"{RUN}.p1.s1", f"{RUN}.p1.s1"), told(f"{RUN}.p1.s1.result", f"{RUN}.p1.s1")]
ASKED = [called(f"{RUN}.m1", f"{RUN}.m1.c1"), told(f"{RUN}.m1.c1.result", f"{RUN}.m1.c1")]
CLIENTS = [called(f"{RUN}.c1", f"{RUN}.c1"), told("mine", f"{RUN}.c1")]

Q1, A1, Q2, A2 = user("q1", "one?"), assistant("a1", "one!"), user("q2", "two?"), assistant("a2", "two!")


@pytest.mark.parametrize(
    ("shown", "held", "new", "from_empty"),
    [
        ([Q1], [], ["q1"], False),
        ([Q1, A1, Q2], [Q1, A1], ["q2"], False),
        ([Q1, A1, Q2], [], ["q1", "a1", "q2"], False),
        ([Q1, A1, Q2], [Q1], ["a1", "q2"], False),
        # Asked again: the client has cut its history off, or shows it a second time.
        ([Q1], [Q1, A1], ["q1"], True),
        ([Q1, A1], [Q1, A1], ["q1", "a1"], True),
        # Edited.
        ([user("q1", "else?"), Q2], [Q1, A1], ["q1", "q2"], True),
        ([user("q9", "else?")], [Q1, A1], ["q9"], True),
        # What the agent said is known by its id, whatever the client made of it.
        ([Q1, assistant("a1", "One!"), Q2], [Q1, A1], ["q2"], False),
        # What a plan called is no message of the conversation; what a message called is, and so are the client's tools.
        ([Q1, *PLANNED, A1, Q2], [Q1, A1], ["q2"], False),
        ([Q1, *ASKED, A1, Q2], [Q1, *ASKED, A1], ["q2"], False),
        ([Q1, *CLIENTS], [Q1, CLIENTS[0]], ["mine"], False),
        # What the client shows to people only.
        ([Q1, {"id": "r1", "role": "reasoning", "content": "hm"}, A1, Q2], [Q1, A1], ["q2"], False),
        ([Q1, {"id": "x", "role": "activity", "activityType": "a", "content": {}}], [], ["q1"], False),
    ],
)
def test_only_what_is_new_is_given_to_the_agent(
    shown: list[dict[str, Any]], held: list[dict[str, Any]], new: list[str], from_empty: bool
) -> None:
    assert new_ids(request(*shown), request(*held) if held else None) == (new, from_empty)


def test_a_tool_result_is_known_by_its_call() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    asked = {"id": "a1", "role": "assistant", "toolCalls": [call]}
    held = [
        *conversation_of(request(Q1, asked)),
        Message(id="run_1.m1.tool", role=Role.ROLE_TOOL, tool_call_id="c1", content=[ContentPart(text="3")]),
    ]
    shown = request(Q1, asked, {"id": "c1.result", "role": "tool", "toolCallId": "c1", "content": "3"}, Q2)
    new = what_is_new(conversation_of(shown), None, held)
    assert [message.id for message in new.messages] == ["q2"]
    assert not new.from_empty
    assert held[1].tool_calls == [ToolCall(id="c1", name="look", arguments_json="{}")]


def test_context_is_a_system_message_that_replaces_its_predecessor() -> None:
    shown = request(Q1, context=[{"description": "The user's city", "value": "Bonn"}])
    first = what_is_new(conversation_of(shown), context_of_run(shown), [])
    assert [message.id for message in first.messages] == [CONTEXT_ID, "q1"]
    assert "The user's city: Bonn" in first.messages[0].content[0].text
    again = request(Q1, A1, Q2, context=[{"description": "The user's city", "value": "Köln"}])
    held = [*first.messages, *conversation_of(request(A1))]
    second = what_is_new(conversation_of(again), context_of_run(again), held)
    assert [message.id for message in second.messages] == [CONTEXT_ID, "q2"]
    assert not second.from_empty


def test_parts_that_no_model_can_use_are_skipped() -> None:
    parts = [
        {"type": "text", "text": "Look: "},
        {"type": "image", "source": {"type": "data", "value": "aGk=", "mimeType": "image/png"}},
        {"type": "image", "source": {"type": "data", "value": "damaged!", "mimeType": "image/png"}},
        {"type": "image", "source": {"type": "url", "value": "https://example.com/a.png"}},
        {"type": "audio", "source": {"type": "file", "value": "f"}},
        {"type": "hologram", "source": 3},
    ]
    (message,) = conversation_of(request({"id": "q", "role": "user", "content": parts}, {"id": "z", "role": "future"}))
    assert [part.WhichOneof("part") for part in message.content] == ["text", "image"]
    assert message.content[1].image.data == b"hi"


def test_a_failed_tool_says_so_to_the_model() -> None:
    failed = {"id": "t", "role": "tool", "toolCallId": "c", "content": "", "error": "no such city"}
    (message,) = conversation_of(request(failed))
    assert "no such city" in "".join(part.text for part in message.content)


def test_a_clients_thread_is_the_same_thread_again_and_nobody_elses() -> None:
    mine = derived_thread_id("tenant-1", "any text: 'x' / 🐭 \0")
    assert is_thread_id(mine)
    assert mine == derived_thread_id("tenant-1", "any text: 'x' / 🐭 \0")
    assert mine != derived_thread_id("tenant-2", "any text: 'x' / 🐭 \0")
