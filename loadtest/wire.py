"""Reads what a streamed chat sent: HTTP chunks, Ollama's lines, OpenAI's events."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

# A piece of content that is not empty, in either protocol; the first one stops the clock of the first token.
CONTENT = re.compile(rb'"content":\s?"(?!")')
END_OF_BODY = b"0\r\n\r\n"


class WireError(ValueError):
    """A response that is not what the protocol promises; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Chat:
    """One streamed answer: its text, the tokens the server reported, and the pieces in which the text came."""

    text: str
    tokens: int
    pieces: int


def split_response(raw: bytes) -> tuple[int, bytes]:
    """Status and body of one HTTP/1.1 response with a chunked body. Raises WireError."""
    head, separator, rest = raw.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
    if not separator or status is None:
        raise WireError("no HTTP response")
    if b"transfer-encoding: chunked" not in head.lower():
        return int(status.group(1)), rest
    return int(status.group(1)), _joined_chunks(rest)


def _joined_chunks(data: bytes) -> bytes:
    parts: list[bytes] = []
    position = 0
    while True:
        end = data.find(b"\r\n", position)
        if end < 0:
            raise WireError("the body ends in the middle of a chunk")
        try:
            size = int(data[position:end].partition(b";")[0], 16)
        except ValueError:
            raise WireError("the body is not made of chunks") from None
        position = end + 2
        if not size:
            return b"".join(parts)
        if len(data) < position + size + 2:
            raise WireError("the body ends in the middle of a chunk")
        if data[position + size : position + size + 2] != b"\r\n":
            raise WireError("the body is not made of chunks")
        parts.append(data[position : position + size])
        position += size + 2


def read_ollama(body: bytes) -> Chat:
    """The answer in the lines of /api/chat. Raises WireError unless it is complete."""
    text: list[str] = []
    for line in body.splitlines():
        part = _parsed(line)
        if content := (part.get("message") or {}).get("content"):
            text.append(content)
        if part.get("done"):
            return Chat("".join(text), int(part.get("eval_count", 0)), len(text))
    raise WireError("the stream has no closing line")


def read_openai(body: bytes) -> Chat:
    """The answer in the events of /v1/chat/completions. Raises WireError unless it is complete."""
    text: list[str] = []
    finished, tokens = False, -1
    for line in body.split(b"\n"):
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if data == b"[DONE]":
            if not finished or tokens < 0:
                raise WireError("[DONE] without " + ("usage" if finished else "finish_reason"))
            return Chat("".join(text), tokens, len(text))
        part = _parsed(data)
        for choice in part.get("choices") or ():
            if content := choice["delta"].get("content"):
                text.append(content)
            finished = finished or choice.get("finish_reason") is not None
        if usage := part.get("usage"):
            tokens = int(usage["completion_tokens"])
    raise WireError("the stream has no [DONE]")


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        part = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise WireError(f"a line is not JSON: {line[:80]!r}") from None
    if not isinstance(part, dict):
        raise WireError(f"a line is not an object: {line[:80]!r}")
    if error := part.get("error"):
        raise WireError(f"the server reports an error: {str(error)[:200]}")
    return part


READERS = {"ollama": read_ollama, "openai": read_openai}


def chat_request(host: str, path: str, body: object, headers: dict[str, str]) -> bytes:
    """The bytes of one POST with a JSON body."""
    data = orjson.dumps(body)
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data
