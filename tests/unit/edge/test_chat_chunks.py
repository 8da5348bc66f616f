"""Chat Completions chunks: exactly what OpenAI sends, from any log."""

import json
from typing import Any

import pytest
from dormouse.agent.v1 import run_event_pb2 as pb
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from edge.errors import ApiError
from edge.openai.chunks import ChunkEncoder
from edge.openai.completion import CompletionCollector
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.unit.edge.events import call, finished, log, message, said, started, thought, used


def encoder(*, usage: bool = False) -> ChunkEncoder:
    return ChunkEncoder(completion_id="chatcmpl-1", created=7, model="chat", include_usage=usage)


def read(raw: bytes) -> tuple[list[dict[str, Any]], list[str], bool]:
    """The chunks, the comments, and whether `[DONE]` came last."""
    blocks = raw.decode().split("\n\n")
    assert blocks.pop() == ""
    done = bool(blocks) and blocks[-1] == "data: [DONE]"
    blocks = blocks[:-1] if done else blocks
    comments = [block.removeprefix(": ") for block in blocks if block.startswith(":")]
    return [json.loads(block.removeprefix("data: ")) for block in blocks if block.startswith("data:")], comments, done


def deltas(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]


def test_a_plain_answer_is_role_text_and_reason() -> None:
    chunks, _, done = read(encoder().encode(log(started(), *message("Hel", "lo"), used(), finished())))
    assert deltas(chunks) == [{"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo"}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert {(chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in chunks} == {
        ("chatcmpl-1", "chat.completion.chunk", 7, "chat")
    }
    assert all("usage" not in chunk for chunk in chunks)
    assert done
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)


def test_usage_comes_in_one_last_chunk_and_is_null_before() -> None:
    events = log(started(), *message("a"), used(3, 5, 2), used(10, 20), finished())
    chunks, _, _ = read(encoder(usage=True).encode(events))
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == {
        "prompt_tokens": 13,
        "completion_tokens": 25,
        "total_tokens": 38,
        "completion_tokens_details": {"reasoning_tokens": 2},
    }


def test_the_batches_in_which_a_log_arrives_do_not_matter() -> None:
    events = log(started(), *message("Hel", "lo"), used(), finished())
    one_by_one = encoder(usage=True)
    pieces = b"".join(one_by_one.encode([event]) for event in events)
    assert pieces == encoder(usage=True).encode(events)


def test_reasoning_has_a_field_of_its_own() -> None:
    events = log(started(), pb.MessageStarted(message_id="m1"), thought("hm"), said("so"), finished())
    chunks, _, _ = read(encoder().encode(events))
    assert deltas(chunks)[1:3] == [{"reasoning_content": "hm"}, {"content": "so"}]


def test_the_clients_tools_are_called_and_the_servers_are_not_shown() -> None:
    events = log(
        started(),
        *call("c0", "search", "{}"),
        pb.ToolResult(tool_call_id="c0", content="3"),
        *call("c1", "weather", '{"city":', '"Bonn"}', at_client=True),
        *call("c2", "weather", "{}", at_client=True),
        finished(pb.FINISH_REASON_TOOL_CALLS),
    )
    chunks, _, _ = read(encoder().encode(events))
    calls = [delta["tool_calls"][0] for delta in deltas(chunks) if "tool_calls" in delta]
    assert calls[0] == {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    assert calls[1:3] == [
        {"index": 0, "function": {"arguments": '{"city":'}},
        {"index": 0, "function": {"arguments": '"Bonn"}'}},
    ]
    assert calls[3]["index"] == 1
    assert len(calls) == 5
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_activities_are_comments_and_open_nothing() -> None:
    waiting = encoder()
    events = log(
        started(),
        pb.Activity(kind=pb.ACTIVITY_KIND_QUEUED, position=2),
        pb.Activity(kind=pb.ACTIVITY_KIND_LOADING_MODEL, subject="a\nb"),
    )
    assert waiting.encode(events) == b": queued position=2\n\n: loading_model a b\n\n"
    assert not waiting.must_open
    assert not waiting.has_content


def test_the_start_of_a_function_opens_the_stream_at_once() -> None:
    waking = encoder()
    events = log(started(), pb.Activity(kind=pb.ACTIVITY_KIND_WAKING, subject="agent_fn"))
    assert waking.encode(events) == b": waking agent_fn\n\n"
    assert waking.must_open
    failed = pb.RunFailed(reason=ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE, message="It is away.", retryable=True)
    assert b"It is away." in waking.encode(log(failed))


def test_a_run_that_fails_before_its_first_word_chooses_the_status() -> None:
    failed = pb.RunFailed(reason=ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE, message="It is away.", retryable=True)
    with pytest.raises(ApiError) as caught:
        encoder().encode(log(started(), failed))
    assert (caught.value.status, caught.value.code) == (503, "model_unavailable")
    assert caught.value.headers["x-should-retry"] == "true"


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (pb.RunFailed(reason=ErrorReason.ERROR_REASON_STREAM_BROKEN, message="It broke."), "stream_broken"),
        (pb.RunCancelled(cause=pb.CANCEL_CAUSE_REQUESTED), "run_cancelled"),
        (pb.RunInterrupted(interrupts=[pb.Interrupt(id="i", reason="x")]), "run_interrupted"),
    ],
)
def test_a_bad_end_after_the_first_word_is_an_error_chunk_without_done(end: Any, code: str) -> None:
    chunks, _, done = read(encoder().encode(log(started(), said("Hel"), end)))
    assert chunks[-1]["error"]["code"] == code
    assert not done


def test_what_has_been_said_cannot_be_taken_back() -> None:
    replaced = pb.MessageReplaced(message_id="m1", text="Hi")
    with pytest.raises(DormouseError):
        encoder().encode(log(started(), said("Hel"), replaced))
    chunks, _, _ = read(encoder().encode(log(started(), replaced, finished())))
    assert deltas(chunks)[1] == {"content": "Hi"}


def test_what_another_message_said_stays_said_when_one_is_replaced() -> None:
    events = log(started(), *message("one"), pb.MessageReplaced(message_id="m2", text="two"), finished())
    chunks, _, _ = read(encoder().encode(events))
    assert deltas(chunks)[1:3] == [{"content": "one"}, {"content": "\n\ntwo"}]


def test_the_messages_of_a_run_are_one_answer_with_blank_lines_between() -> None:
    events = [
        thought("hm"), *message("I look", " it up."), *call("c1", "search", "{}"), *message(message_id="m2"),
        thought("so", "m3"), *message("It is", " 3.", message_id="m3"), finished(),
    ]  # fmt: skip
    whole = collected(*events)["choices"][0]["message"]
    assert whole["content"] == "I look it up.\n\nIt is 3."
    assert whole["reasoning_content"] == "hm\n\nso"
    told = deltas(read(encoder().encode(log(started(), *events)))[0])
    assert "".join(delta.get("content", "") for delta in told) == whole["content"]
    assert "".join(delta.get("reasoning_content", "") for delta in told) == whole["reasoning_content"]


def test_text_of_every_kind_survives() -> None:
    text = 'quote " back \\ line\nnull\0 emoji 🐭 sep\u2028 % {} data: x\n\n'
    chunks, _, _ = read(encoder().encode(log(started(), said(text), finished())))
    assert deltas(chunks)[1] == {"content": text}


def collected(*payloads: Any) -> dict[str, Any]:
    collector = CompletionCollector()
    collector.take(log(started(), *payloads))
    answer = collector.completion("chatcmpl-1", 7, "chat")
    ChatCompletion.model_validate(answer, strict=True)
    return answer


def test_an_answer_in_one_piece_says_the_same() -> None:
    answer = collected(thought("hm"), *message("Hel", "lo"), used(3, 5, 2), finished(pb.FINISH_REASON_LENGTH))
    choice = answer["choices"][0]
    assert choice["message"]["content"] == "Hello"
    assert choice["message"]["reasoning_content"] == "hm"
    assert choice["finish_reason"] == "length"
    assert answer["usage"]["total_tokens"] == 8


def test_an_answer_in_one_piece_may_have_been_replaced() -> None:
    replaced = pb.MessageReplaced(message_id="m1", text="Good ")
    answer = collected(said("Hel"), replaced, said("day"), finished())
    assert answer["choices"][0]["message"]["content"] == "Good day"


def test_an_answer_that_only_calls_tools_has_no_content() -> None:
    asked = call("c1", "weather", "{", "}", at_client=True)
    answer = collected(*call("c0", "search", "{}"), *asked, finished(pb.FINISH_REASON_TOOL_CALLS))
    said_ = answer["choices"][0]["message"]
    assert said_["content"] is None
    assert said_["tool_calls"] == [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]
