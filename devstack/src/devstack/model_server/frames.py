"""The bytes of an answer, made before the first of them is due."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
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
class Piece:
    """One step of a streamed answer and the number of tokens it stands for."""

    line: bytes
    tokens: int = 1


@dataclass(frozen=True, slots=True)
class Shape:
    """How one endpoint writes a piece of an answer as JSON: `/api/chat` and `/api/generate` differ."""

    model: str
    chat: bool
    created_at: str = field(default_factory=lambda: timestamp())

    def pieces(self, answer: Answer) -> list[Piece]:
        """The NDJSON lines of an answer, one for each token, without the closing line."""
        head = b'{"model":%b,"created_at":"%b",' % (orjson.dumps(self.model), self.created_at.encode())
        if self.chat:
            content, tail = head + b'"message":{"role":"assistant","content":', b'},"done":false}\n'
            thinking = content + b'"","thinking":'
        else:
            content, tail = head + b'"response":', b',"done":false}\n'
            thinking = content + b'"","thinking":'
        pieces = [Piece(thinking + orjson.dumps(text) + tail) for text in split_tokens(answer.thinking)]
        pieces += [Piece(content + orjson.dumps(text) + tail) for text in split_tokens(answer.content)]
        for call in answer.tool_calls:
            calls = orjson.dumps([call])
            pieces.append(Piece(content + b'"","tool_calls":' + calls + tail, count_tokens(calls.decode())))
        return pieces

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


def chunks(lines: Iterable[bytes]) -> list[bytes]:
    """Each line as a chunk of its own."""
    return [b"%x\r\n%b\r\n" % (len(line), line) for line in lines]


def timestamp() -> str:
    """Now, as Ollama writes times."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
