"""The load generator reads both protocols and believes no incomplete stream."""

from __future__ import annotations

import pytest

from loadtest.wire import CONTENT, WireError, chat_request, read_ollama, read_openai, split_response

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
DELTA = 'data: {"choices":[{"delta":{"content":"%s"},"finish_reason":null}],"usage":null}\n\n'
FINISH = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}\n\n'
USAGE = 'data: {"choices":[],"usage":{"completion_tokens":3}}\n\n'
DONE = "data: [DONE]\n\n"


def test_a_chunked_response_is_joined() -> None:
    assert split_response(HEAD + b"3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n") == (200, b"abc0123456789")


def test_a_response_with_a_length_is_taken_as_it_is() -> None:
    assert split_response(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}") == (503, b"{}")


@pytest.mark.parametrize("body", [b"3\r\nab", b"3\r\nabc\r\n", b"", b"5\r\nabc\r\n0\r\n\r\n", b"no\r\n"])
def test_a_body_that_is_cut_or_not_chunked_is_an_error(body: bytes) -> None:
    with pytest.raises(WireError, match=r"middle|not made of chunks"):
        split_response(HEAD + body)


def test_an_answer_of_ollama_is_read_with_its_own_count() -> None:
    body = b'{"message":{"content":"a"},"done":false}\n{"message":{"content":" b"},"done":false}\n'
    chat = read_ollama(body + b'{"message":{"content":""},"done":true,"eval_count":3}\n')
    assert (chat.text, chat.tokens, chat.pieces) == ("a b", 3, 2)
    with pytest.raises(WireError, match="closing line"):
        read_ollama(body)
    with pytest.raises(WireError, match="reports an error"):
        read_ollama(b'{"error":"no"}\n')


def test_an_answer_of_openai_is_read_with_its_usage() -> None:
    body = ": ping\n\n" + DELTA % "" + DELTA % "a b" + DELTA % " c" + FINISH + USAGE + DONE
    chat = read_openai(body.encode())
    assert (chat.text, chat.tokens, chat.pieces) == ("a b c", 3, 2)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (DELTA % "a" + FINISH + USAGE, "no \\[DONE\\]"),
        (DELTA % "a" + FINISH + DONE, "without usage"),
        (DELTA % "a" + USAGE + DONE, "without finish_reason"),
        ('data: {"error":{"message":"gone"}}\n\n', "reports an error"),
        ("data: {broken\n\n", "not JSON"),
        ("data: 3\n\n", "not an object"),
    ],
)
def test_an_incomplete_answer_of_openai_is_an_error(body: str, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        read_openai(body.encode())


@pytest.mark.parametrize(
    ("data", "found"),
    [(b'{"content":"w1"}', True), (b'{"content": "w1"}', True), (b'{"content":""}', False), (b'{"content":', False)],
)
def test_the_first_token_is_the_first_content_that_is_not_empty(data: bytes, found: bool) -> None:
    assert (CONTENT.search(data) is not None) == found


def test_a_request_is_complete_http() -> None:
    request = chat_request("h", "/p", {"a": 1}, {"X": "y"})
    assert request.startswith(b"POST /p HTTP/1.1\r\nHost: h\r\n")
    assert request.endswith(b'Content-Length: 7\r\nX: y\r\n\r\n{"a":1}')
