"""What a hostile or broken client may send: sizes, slowness, bad HTTP; and the answers it gets."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from edge.middleware.body_limit import BodyLimitMiddleware
from edge.middleware.observe import ObserveMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from edge import http_protocol
from tests.unit.edge.http_server import serving

LIMIT = 1000


async def length(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of the body; crashes on demand."""
    request = Request(scope, receive)
    if request.url.path == "/crash":
        raise ZeroDivisionError("secret")
    body = await request.body()
    await JSONResponse({"length": len(body)})(scope, receive, send)


APP = ObserveMiddleware(BodyLimitMiddleware(length, limit=LIMIT))


async def raw(address: str, *pieces: bytes) -> tuple[int, dict[str, str], Any]:
    """Sends bytes as they are; status, headers and JSON of the first answer."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
        status, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        return int(status.split()[1]), headers, json.loads(body)
    finally:
        writer.close()


async def test_a_body_at_the_limit_passes() -> None:
    async with serving(APP) as address, httpx.AsyncClient() as http:
        response = await http.post(f"http://{address}/", content=b"x" * LIMIT)
        assert response.json() == {"length": LIMIT}


async def test_a_long_body_is_refused_whether_announced_or_not() -> None:
    async def chunks() -> Any:
        for _ in range(LIMIT):
            yield b"xx"

    async with serving(APP) as address, httpx.AsyncClient() as http:
        for content in (b"x" * 10_000_000, chunks()):
            response = await http.post(f"http://{address}/", content=content)
            assert response.status_code == 413
            assert response.json()["error"]["code"] == "request_too_large"
            assert response.headers["connection"] == "close"


async def test_an_endless_body_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.middleware.body_limit.LINGER_BYTES", 100_000)
    async with serving(APP) as address:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")

        async def pour() -> None:
            while True:
                writer.write(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
                await writer.drain()

        pouring = asyncio.create_task(pour())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert b" 413 " in head
        with pytest.raises(OSError):  # noqa: PT011 - reset or broken pipe, as the kernel likes
            await asyncio.wait_for(pouring, 5)
        writer.close()


async def test_a_client_that_asks_first_is_not_told_to_go_on() -> None:
    async with serving(APP) as address:
        head = b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5000\r\n\r\n"
        status, _, _ = await raw(address, head)
        assert status == 413


async def test_bad_http_is_answered_in_the_same_shape() -> None:
    async with serving(APP) as address:
        status, headers, body = await raw(address, b"NONSENSE\r\n\r\n")
        assert (status, body["error"]["code"], headers["connection"]) == (400, "invalid_http", "close")


async def test_an_endless_head_is_refused() -> None:
    async with serving(APP) as address:
        status, _, body = await raw(address, b"GET / HTTP/1.1\r\nx-filler: " + b"y" * http_protocol.HEAD_LIMIT)
        assert (status, body["error"]["code"]) == (431, "headers_too_large")


async def test_a_head_that_is_too_long_is_refused_even_when_it_comes_whole() -> None:
    async with serving(APP) as address:
        filler = b"x-filler: " + b"y" * 1000 + b"\r\n"
        pieces = (b"GET / HTTP/1.1\r\nhost: x\r\n" + filler * 62, filler * 5 + b"\r\n")
        status, _, body = await raw(address, *pieces)
        assert (status, body["error"]["code"]) == (431, "headers_too_large")
        body_beside_head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n" + filler * 60 + b"\r\n" + b"x" * 900
        status, _, body = await raw(address, body_beside_head)
        assert (status, body["length"]) == (200, 900)


async def test_an_endlessly_slow_head_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT_S", 0.05)
    async with serving(APP) as address:
        host, _, port = address.rpartition(":")
        for beginning in (b"", b"GET / HTTP/1.1\r\nx-a: b\r\n"):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(beginning)
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()


async def test_a_connection_serves_many_requests_and_pauses_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT_S", 0.05)
    async with serving(APP) as address:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
            await asyncio.wait_for(reader.readuntil(b'{"length":2}'), 5)
            await asyncio.sleep(0.1)
        writer.close()


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-123", True), ("req:1.x_y", True), ("a b", False), ("x" * 129, False), ("", False)]
)
async def test_a_sane_request_id_is_kept_and_another_replaced(given: str, kept: bool) -> None:
    async with serving(APP) as address, httpx.AsyncClient() as http:
        response = await http.post(f"http://{address}/", headers={"x-request-id": given})
        answered = response.headers["x-request-id"]
        assert (answered == given) is kept
        assert kept or answered.startswith("req_")


async def test_a_defect_says_nothing_about_itself() -> None:
    async with serving(APP) as address, httpx.AsyncClient() as http:
        response = await http.get(f"http://{address}/crash")
        assert response.status_code == 500
        assert response.json()["error"]["type"] == "server_error"
        assert "secret" not in response.text
        assert response.headers["x-request-id"]
