"""Ollama's lines, however the network cuts them."""

import json
from typing import Any

import pytest
from agent_fn.errors import UnreadableToolCall
from agent_fn.events import FinishReason
from agent_fn.models.ollama.responses import LineReader, error_from
from agent_fn.models.port import RequestedTool
from dormouse.common.v1 import error_pb2


def line(content: str = "", *, thinking: str = "", **fields: Any) -> bytes:
    message: dict[str, object] = {"role": "assistant", "content": content}
    if thinking:
        message["thinking"] = thinking
    if "tool_calls" in fields:
        message["tool_calls"] = fields.pop("tool_calls")
    return json.dumps({"model": "m", "message": message, "done": False, **fields}).encode() + b"\n"


END: dict[str, Any] = {"done": True, "done_reason": "stop", "prompt_eval_count": 7, "eval_count": 3, "load_duration": 1}
WHOLE = line(thinking="Hm") + line(thinking="m.") + line("Grüß") + line(" Gott") + line("", **END)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_an_answer_is_the_same_in_pieces_of_any_size(size: int) -> None:
    reader = LineReader("m")
    chunks = [chunk for at in range(0, len(WHOLE), size) for chunk in reader.feed(WHOLE[at : at + size])]
    assert "".join(chunk.reasoning for chunk in chunks) == "Hmm."
    assert "".join(chunk.text for chunk in chunks) == "Grüß Gott"
    assert sum(chunk.reasoning_pieces for chunk in chunks) == 2
    assert sum(chunk.pieces for chunk in chunks) == 2
    completion = chunks[-1].completion
    assert completion is not None
    assert (completion.prompt_tokens, completion.completion_tokens, completion.load_ns) == (7, 3, 1)


def test_what_is_ready_at_once_is_one_chunk() -> None:
    (chunk,) = LineReader("m").feed(WHOLE)
    assert (chunk.reasoning, chunk.text, chunk.completion is not None) == ("Hmm.", "Grüß Gott", True)


def test_reasoning_after_text_is_not_put_before_it() -> None:
    chunks = LineReader("m").feed(line("a") + line(thinking="b") + line("c"))
    assert [(chunk.reasoning, chunk.text) for chunk in chunks] == [("", "a"), ("b", "c")]


def test_tool_calls_keep_their_order_whatever_their_index_says() -> None:
    calls = [{"function": {"index": 0, "name": name, "arguments": {"n": 1}}} for name in ("one", "two")]
    (chunk,) = LineReader("m").feed(line(tool_calls=calls))
    assert chunk.tools == [RequestedTool("one", '{"n":1}'), RequestedTool("two", '{"n":1}')]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("stop", FinishReason.STOP), ("length", FinishReason.LENGTH), ("load", FinishReason.STOP)],
)
def test_the_end_has_a_reason(reason: str, finish: FinishReason) -> None:
    (chunk,) = LineReader("m").feed(line(done=True, done_reason=reason))
    assert chunk.completion is not None
    assert chunk.completion.finish_reason is finish


@pytest.mark.parametrize("bad", [b"<html>\n", b"[]\n", b'{"error": "model runner has stopped"}\n'])
def test_what_is_no_answer_fails_after_what_was_one(bad: bytes) -> None:
    reader = LineReader("m")
    assert [chunk.text for chunk in reader.feed(line("a") + bad + line("b"))] == ["a"]
    assert reader.failure is not None
    assert reader.failure.reason == error_pb2.ERROR_REASON_MODEL_UNAVAILABLE


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (404, "model 'm' not found", error_pb2.ERROR_REASON_MODEL_NOT_FOUND),
        (400, "the input length exceeds the context length", error_pb2.ERROR_REASON_CONTEXT_LENGTH_EXCEEDED),
        (500, "invalid JSON schema in format", error_pb2.ERROR_REASON_INVALID_ARGUMENT),
        (400, '"m" does not support tools', error_pb2.ERROR_REASON_MODEL_CAPABILITY_MISSING),
        (400, '"m" does not support thinking', error_pb2.ERROR_REASON_MODEL_CAPABILITY_MISSING),
        (400, '"m" does not support chat', error_pb2.ERROR_REASON_MODEL_CAPABILITY_MISSING),
        (400, "invalid format", error_pb2.ERROR_REASON_INVALID_ARGUMENT),
        (401, "unauthorized", error_pb2.ERROR_REASON_MODEL_UNAVAILABLE),
        (429, "slow down", error_pb2.ERROR_REASON_MODEL_UNAVAILABLE),
        (500, "llama runner process has terminated", error_pb2.ERROR_REASON_MODEL_UNAVAILABLE),
        (503, "server busy, please try again", error_pb2.ERROR_REASON_MODEL_UNAVAILABLE),
    ],
)
def test_refusals_become_reasons_and_their_text_is_not_shown(status: int, text: str, reason: int) -> None:
    error = error_from("m", status, text)
    assert error.reason == reason
    assert text not in error.message


def test_a_tool_call_that_ollama_cannot_read_is_told_apart() -> None:
    error = error_from("m", 500, "error parsing tool call: raw='{\"a', err=unexpected end of JSON input")
    assert isinstance(error, UnreadableToolCall)
    assert error.retryable
