"""The bytes of an answer, made before the first of them is due."""

from __future__ import annotations

import datetime
import functools
from dataclasses import dataclass, field
from typing import Any

import orjson

from devstack.model_server.tokens import count_tokens, split_tokens

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: application/x-ndjson\r\n"
    b"Server: dormouse-dev\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says. `length` marks an answer that was cut at the token limit."""

    content: str = ""
    thinking: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()
    length: bool = False


@dataclass(frozen=True, slots=True)
class Frames:
    """A streamed answer without its closing line: one HTTP chunk for each step, and the tokens each stands for."""

    chunks: tuple[bytes, ...]
    costs: tuple[int, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class Shape:
    """How one endpoint writes a piece of an answer as JSON: `/api/chat` and `/api/generate` differ."""

    model: str
    chat: bool
    created_at: str = field(default_factory=lambda: timestamp("seconds"))

    def frames(self, answer: Answer) -> Frames:
        """The stream of an answer; all of it carries one time, in whole seconds, so that equal answers share it."""
        spoken = _spoken_frames(self.model, self.chat, self.created_at, answer.thinking, answer.content)
        if not answer.tool_calls:
            return spoken
        before, _, after = _around(self.model, self.chat, self.created_at)
        calls = [orjson.dumps([call]) for call in answer.tool_calls]
        chunks = (chunk(before + b'"","tool_calls":' + call + after) for call in calls)
        costs = tuple(count_tokens(call.decode()) for call in calls)
        return Frames((*spoken.chunks, *chunks), spoken.costs + costs, spoken.tokens + sum(costs))

    def whole(self, answer: Answer, closing: dict[str, Any]) -> dict[str, Any]:
        """The single object of an answer that is not streamed."""
        said: dict[str, Any] = {"role": "assistant", "content": answer.content} if self.chat else {}
        if answer.thinking:
            said["thinking"] = answer.thinking
        if answer.tool_calls:
            said["tool_calls"] = list(answer.tool_calls)
        body = {"message": said} if self.chat else {"response": answer.content, **said}
        return {"model": self.model, "created_at": timestamp(), **body, "done": True, **closing}

    def last(self, closing: dict[str, Any]) -> bytes:
        """The closing NDJSON line of a stream."""
        return orjson.dumps(self.whole(Answer(), closing)) + b"\n"


def chunk(data: bytes) -> bytes:
    """One chunk of HTTP/1.1 chunked transfer coding (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _around(model: str, chat: bool, created_at: str) -> tuple[bytes, bytes, bytes]:
    """What stands before content, before thinking, and after either."""
    head = b'{"model":%b,"created_at":"%b",' % (orjson.dumps(model), created_at.encode())
    before = head + (b'"message":{"role":"assistant","content":' if chat else b'"response":')
    return before, before + b'"","thinking":', (b"}," if chat else b",") + b'"done":false}\n'


@functools.lru_cache(maxsize=64)
def _spoken_frames(model: str, chat: bool, created_at: str, thinking: str, content: str) -> Frames:
    before, thinks, after = _around(model, chat, created_at)
    lines = [thinks + orjson.dumps(text) + after for text in split_tokens(thinking)]
    lines += [before + orjson.dumps(text) + after for text in split_tokens(content)]
    return Frames(tuple(map(chunk, lines)), (1,) * len(lines), len(lines))


def timestamp(precision: str = "microseconds") -> str:
    """Now, as Ollama writes times."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec=precision).replace("+00:00", "Z")
