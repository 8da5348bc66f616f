"""How a bad request has to be answered, and raw HTTP for requests that no client library would send."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.stack import Platform

LEAKS = re.compile(
    r"Traceback|File \"|\.py\b|line \d+, in|psycopg|pydantic|asyncpg|grpc\.|sqlalchemy|starlette|fastapi|\bat 0x"
    r"|NoneType|KeyError|ValueError|TypeError|__\w+__|select |insert ",
)
TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers in lower case, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, response: httpx.Response) -> "Answer":
        return cls(response.status_code, dict(response.headers), response.content)


def error_of(answer: Answer, *statuses: int) -> dict[str, Any]:
    """The error object of a refusal, once everything about it has been found right."""
    shown = answer.body.decode("utf-8")
    assert answer.status in statuses, f"{answer.status} {shown[:500]}"
    assert 400 <= answer.status < 500
    assert answer.headers["content-type"] == "application/json"
    document = json.loads(shown)
    assert set(document) == {"error"}
    error: dict[str, Any] = document["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"]
    assert len(error["message"]) < 1000
    assert error["type"] in ("invalid_request_error", "conflict_error")
    assert isinstance(error["code"], str)
    assert error["param"] is None or isinstance(error["param"], str)
    assert not LEAKS.search(error["message"]), error["message"]
    return error


def fine_or_refused(answer: Answer, *refusals: int) -> None:
    """For what may be taken or refused: taken means to the end, without a failure inside the stream."""
    if answer.status >= 300:
        error_of(answer, *refusals)
        return
    text = answer.body.decode("utf-8")
    assert "internal_error" not in text
    assert "RUN_ERROR" not in text or "model_capability_missing" in text, text[-500:]
    assert "run.failed" not in text or "model_capability_missing" in text, text[-500:]
    assert '{"error"' not in text


async def raw(platform: Platform, *pieces: bytes) -> Answer:
    """Sends bytes as they are and reads the first answer to its end."""
    host, _, port = platform.edge.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(TIMEOUT_S):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await _read(reader)
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers["content-length"])) if "content-length" in headers else b""
    return Answer(int(status.split()[1]), headers, body)


@asynccontextmanager
async def unbroken(platform: Platform) -> AsyncIterator[None]:
    """Whatever is asked within the block, neither process answers 5xx, fails a stream or logs a defect."""
    before = await _defects(platform)
    yield
    after = await _defects(platform)
    assert after == before, f"before: {before}\nafter: {after}"


async def _defects(platform: Platform) -> dict[str, Any]:
    metrics = await platform.edge.metrics()
    servers = re.findall(r'^(dormouse_edge_requests_total\{.*status="5\d\d"\}) (.*)$', metrics, flags=re.MULTILINE)
    streams = re.findall(r'^(dormouse_edge_streams_total\{end="failed".*\}) (.*)$', metrics, flags=re.MULTILINE)
    logs = [*platform.edge.log_lines, *platform.agent_fn.log_lines]
    return {**dict(servers), **dict(streams), "log": [line for line in logs if '"exception"' in line]}
