"""What a hostile or broken client may send: sizes, slowness, bad HTTP; and the answers it gets."""

import asyncio
import contextlib
import json
import socket
from typing import Any

import httpx
import pytest
from edge.client_address import parse_proxies
from edge.connections import ConnectionCounter
from edge.middleware.body_limit import BodyLimitMiddleware
from edge.middleware.observe import ObserveMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

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


async def test_a_body_that_comes_too_slowly_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "BODY_CHECK_S", 0.1)
    async with serving(APP) as address:
        beginning = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n{"
        status, headers, body = await raw(address, beginning)
        assert (status, body["error"]["code"], headers["connection"]) == (408, "request_timeout", "close")


async def test_a_body_that_drips_behind_its_answer_is_cut_off_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "BODY_CHECK_S", 0.1)

    async def answers_at_once(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse({})(scope, receive, send)

    async with serving(answers_at_once) as address:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n{")
        answer = await asyncio.wait_for(reader.readuntil(b"{}"), 5)
        assert b" 200 " in answer
        assert b"408" in await asyncio.wait_for(reader.read(), 5)
        writer.close()


async def test_a_body_that_is_slow_because_the_server_does_not_read_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "BODY_CHECK_S", 0.05)
    go_on = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await JSONResponse({"length": len(await Request(scope, receive).body())})(scope, receive, send)

    async with serving(slow) as address, httpx.AsyncClient() as http:
        sending = asyncio.create_task(http.post(f"http://{address}/", content=b"x" * 1_000_000))
        await asyncio.sleep(0.3)  # several looks, at none of which anything has come
        go_on.set()
        assert (await sending).json() == {"length": 1_000_000}


class Pouring:
    """Streams without end; says when it was told that the client is gone."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        watch = asyncio.create_task(self._watch(receive))
        while not watch.done():
            await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
            await asyncio.sleep(0)
        self.ended.set()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


async def test_a_reader_who_never_reads_is_cut_off_and_holds_no_more_than_a_buffer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_protocol, "WRITE_CHECK_S", 0.2)
    pouring = Pouring()
    async with serving(pouring) as address:
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            async with asyncio.timeout(10):
                await pouring.ended.wait()


async def test_a_reader_who_is_slow_but_reads_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "WRITE_CHECK_S", 0.3)
    size = 8_000_000  # at once: it takes several looks until it has gone
    async with serving(big_answer(size)) as address:
        host, _, port = address.rpartition(":")
        wire = socket.socket()
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # else it goes in great leaps
        wire.setblocking(False)
        await asyncio.get_running_loop().sock_connect(wire, (host, int(port)))
        reader, writer = await asyncio.open_connection(sock=wire)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        received = 0
        try:
            while piece := await reader.read(100_000):
                received += len(piece)
                await asyncio.sleep(0.01)
        finally:
            writer.close()
        assert received > size


def big_answer(size: int) -> ASGIApp:
    async def big(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"%d" % size), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * size, "more_body": False})

    return big


async def test_what_a_closed_connection_still_has_to_say_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "WRITE_CHECK_S", 0.2)
    lost = asyncio.Event()

    class Protocol(http_protocol.EdgeHttpProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            transport.set_write_buffer_limits(10**9)  # what is left is never so much that writing pauses

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.set()

    monkeypatch.setattr("tests.unit.edge.http_server.EdgeHttpProtocol", Protocol)
    async with serving(big_answer(50_000_000)) as address:
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            async with asyncio.timeout(10):
                await lost.wait()


async def test_header_lines_behind_a_body_are_dropped_and_not_without_end() -> None:
    async def show(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        await JSONResponse({name.decode(): value.decode() for name, value in scope["headers"]})(scope, receive, send)

    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    async with serving(show) as address:
        status, _, seen = await raw(address, head + b"x-forwarded-for: 1.2.3.4\r\nauthorization: Bearer x\r\n\r\n")
        assert (status, seen) == (200, {"host": "x", "transfer-encoding": "chunked"})
    endless = b"x-filler: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 1000
    async with serving(show) as address:
        status, _, body = await raw(address, head, endless)
        assert (status, body["error"]["code"]) == (400, "invalid_http")


async def test_a_connection_cannot_pile_up_requests() -> None:
    waiting = asyncio.Event()

    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
        await waiting.wait()
        await JSONResponse({})(scope, receive, send)

    async with serving(stuck) as address:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 1000)
        try:
            assert await asyncio.wait_for(reader.read(), 5) == b""
        finally:
            writer.close()
            waiting.set()


async def test_a_client_that_leaves_is_noticed_also_while_a_further_request_of_its_waits() -> None:
    pouring = Pouring()
    async with serving(pouring) as address:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 2)
        await reader.read(100)
        writer.transport.abort()
        async with asyncio.timeout(5):
            await pouring.ended.wait()


async def test_an_address_has_so_many_connections_at_once() -> None:
    counter = ConnectionCounter(2)
    async with serving(APP, counter=counter) as address:
        host, _, port = address.rpartition(":")
        first = await asyncio.open_connection(host, int(port))
        second = await asyncio.open_connection(host, int(port))
        third, writer = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(ConnectionResetError):
            assert not await asyncio.wait_for(third.read(), 5)
        writer.close()
        first[1].close()
        await first[1].wait_closed()
        async with asyncio.timeout(5):
            while True:  # the server learns of it a moment later
                try:
                    status, _, _ = await raw(address, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
                except (OSError, asyncio.IncompleteReadError):
                    await asyncio.sleep(0.01)
                    continue
                break
        assert status == 200
        second[1].close()


def test_connections_are_counted_by_subscriber_and_not_for_proxies() -> None:
    counter = ConnectionCounter(2, parse_proxies(["10.0.0.0/8"]))
    assert [counter.enter(f"2001:db8::{number}") for number in range(3)] == [True, True, False]
    assert counter.enter("2001:db8:0:1::1")
    assert all(counter.enter("10.1.2.3") for _ in range(10))
    counter.leave("10.1.2.3")
    counter.leave("2001:db8::1")
    assert counter.enter("2001:db8::ffff")
    assert not counter.enter("2001:db8::ffff")
