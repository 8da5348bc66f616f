"""The streaming response over real HTTP: opening, silence, leaving, breaking, closing."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest
from dormouse.agent.v1.run_event_pb2 import RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from edge.errors import ApiError
from edge.lifecycle import ClientGoneError, ClientWatch, Lifecycle, ServerClosingError
from edge.middleware.observe import ObserveMiddleware
from edge.sse import EventStream
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from edge import http_protocol, sse
from tests.unit.edge.events import finished, log, said, started
from tests.unit.edge.http_server import serving

DEADLINE_S = 5


class Texts:
    """Encodes deltas as comments-free events; opens with the first."""

    has_content = False
    must_open = False

    def encode(self, events: Sequence[RunEvent]) -> bytes:
        texts = [event.message_delta.text for event in events if event.HasField("message_delta")]
        if "refuse" in texts:
            raise ApiError(418, "No.", code="no")
        if "crash" in texts:
            raise ZeroDivisionError
        self.has_content = self.must_open = self.must_open or bool(texts)
        return b"".join(b"data: %s\n\n" % text.encode() for text in texts) or b": held\n\n"

    def broken(self, error: ApiError) -> bytes:
        return b"data: broken %s\n\n" % (error.code or "").encode()


class Script:
    """One run as a test plays it: what is put in comes out as batches; and what became of the stream."""

    def __init__(self) -> None:
        self.lifecycle = Lifecycle()
        self.batches: asyncio.Queue[Sequence[RunEvent] | Exception | None] = asyncio.Queue()
        self.is_reading = asyncio.Event()
        self.was_closed = asyncio.Event()
        self.client_left = asyncio.Event()

    def say(self, *texts: str) -> None:
        self.batches.put_nowait(log(*(said(text) for text in texts)))

    def end(self) -> None:
        self.batches.put_nowait(None)

    async def events(self) -> AsyncGenerator[Sequence[RunEvent], None]:
        try:
            while True:
                self.is_reading.set()
                batch = await self.batches.get()
                if isinstance(batch, Exception):
                    raise batch
                if batch is None:
                    return
                yield batch
        finally:
            self.was_closed.set()

    async def on_gone(self) -> None:
        self.client_left.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream = EventStream(
            self.events(),
            Texts(),
            surface="test",
            lifecycle=self.lifecycle,
            headers={"x-run": "1"},
            on_gone=self.on_gone,
        )
        await stream.run(scope, receive, send)

    @asynccontextmanager
    async def request(self) -> AsyncIterator[httpx.Response]:
        async with (
            serving(ObserveMiddleware(self)) as address,
            httpx.AsyncClient(timeout=DEADLINE_S) as http,
            http.stream("GET", f"http://{address}/") as response,
        ):
            yield response


@pytest.fixture
def script() -> Script:
    return Script()


async def test_a_stream_is_sent_as_it_comes_and_its_source_is_closed(script: Script) -> None:
    script.say("a", "b")
    async with script.request() as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["x-run"] == "1"
        chunks = response.aiter_bytes()
        assert await anext(chunks) == b"data: a\n\ndata: b\n\n"
        script.say("c")
        assert await anext(chunks) == b"data: c\n\n"
        script.end()
        assert [chunk async for chunk in chunks] == []
    assert script.was_closed.is_set()
    assert not script.client_left.is_set()


async def test_a_client_that_stops_reading_holds_its_run_no_longer_than_it_is_given(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "WRITE_CHECK_S", 0.2)
    async with serving(ObserveMiddleware(script)) as address:
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            async with asyncio.timeout(DEADLINE_S):
                while not script.was_closed.is_set():
                    script.say("x" * 1_000_000)
                    await asyncio.sleep(0.01)
        assert script.client_left.is_set()
    assert script.batches.qsize() > 1, "what was said meanwhile was not taken, and waits with the run"


async def test_what_comes_before_the_first_word_waits_for_it(script: Script) -> None:
    script.batches.put_nowait(log(started()))
    script.say("a")
    script.end()
    async with script.request() as response:
        assert await response.aread() == b": held\n\ndata: a\n\n"


async def test_a_run_without_a_word_still_answers(script: Script) -> None:
    script.batches.put_nowait(log(started(), finished()))
    script.end()
    async with script.request() as response:
        assert response.status_code == 200
        assert await response.aread() == b": held\n\n"


async def test_silence_opens_the_stream_and_is_filled_with_pings(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "OPEN_AFTER_S", 0.02)
    monkeypatch.setattr(sse, "PING_AFTER_S", 0.05)
    script.batches.put_nowait(log(started()))
    async with script.request() as response:
        chunks = response.aiter_bytes()
        assert await anext(chunks) == b": held\n\n: ping\n\n"
        assert await anext(chunks) == b": ping\n\n"
        script.say("a")
        script.end()
        rest = b"".join([chunk async for chunk in chunks])
        assert rest.replace(b": ping\n\n", b"") == b"data: a\n\n"


async def test_a_failure_before_the_first_word_chooses_the_status(script: Script) -> None:
    script.batches.put_nowait(log(started()))
    script.say("refuse")
    async with script.request() as response:
        assert response.status_code == 418
        assert response.headers["x-run"] == "1"
        assert json.loads(await response.aread())["error"]["code"] == "no"
    assert script.was_closed.is_set()


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (DormouseError(ErrorReason.ERROR_REASON_RUN_NOT_FOUND, "There is no run."), "run_not_found"),
        (RuntimeError("secret"), "internal_error"),
    ],
)
async def test_trouble_after_the_first_word_is_told_in_the_stream(
    script: Script, trouble: Exception, code: str
) -> None:
    script.say("a")
    script.batches.put_nowait(trouble)
    async with script.request() as response:
        body = await response.aread()
    assert body == b"data: a\n\ndata: broken %s\n\n" % code.encode()
    assert b"secret" not in body


async def test_a_source_that_refuses_at_once_is_answered_with_its_status(script: Script) -> None:
    script.batches.put_nowait(DormouseError(ErrorReason.ERROR_REASON_RUN_NOT_FOUND, "There is no run."))
    async with script.request() as response:
        assert response.status_code == 404


async def test_a_defect_of_the_encoder_is_neutral_and_ends_the_stream(script: Script) -> None:
    script.say("crash")
    async with script.request() as response:
        assert response.status_code == 500
        assert "ZeroDivisionError" not in (await response.aread()).decode()


@pytest.mark.parametrize("has_spoken", [False, True])
async def test_a_client_that_leaves_is_noticed_in_every_phase(script: Script, has_spoken: bool) -> None:
    if has_spoken:
        script.say("a")
    async with serving(ObserveMiddleware(script)) as address:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        if has_spoken:
            await reader.readuntil(b"data: a\n\n")
        await asyncio.wait_for(script.is_reading.wait(), DEADLINE_S)
        writer.close()
        await asyncio.wait_for(script.client_left.wait(), DEADLINE_S)
        await asyncio.wait_for(script.was_closed.wait(), DEADLINE_S)
        await writer.wait_closed()
    assert script.lifecycle.open_requests == 0


async def test_a_closing_server_says_goodbye(script: Script) -> None:
    script.say("a")
    async with script.request() as response:
        chunks = response.aiter_bytes()
        await anext(chunks)
        script.lifecycle.close()
        assert b"".join([chunk async for chunk in chunks]) == b"data: broken shutting_down\n\n"
    assert script.was_closed.is_set()
    assert not script.client_left.is_set()


async def test_a_request_that_comes_to_a_closed_server_is_sent_elsewhere(script: Script) -> None:
    script.lifecycle.close()
    async with script.request() as response:
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"


async def test_a_watch_leaves_other_cancellations_alone() -> None:
    never = asyncio.Event()

    async def receive() -> dict[str, str]:
        await never.wait()
        return {"type": "http.disconnect"}

    async def work() -> None:
        async with ClientWatch(receive, Lifecycle()):
            await never.wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_watch_tells_why_it_ended_the_work() -> None:
    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientGoneError):
        async with ClientWatch(gone, Lifecycle()):
            await asyncio.Event().wait()
    closed = Lifecycle()
    closed.close()
    with pytest.raises(ServerClosingError):
        async with ClientWatch(gone, closed):
            await asyncio.Event().wait()


async def test_a_non_streamed_answer_can_be_left_too() -> None:
    lifecycle, left = Lifecycle(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await request.body()
        try:
            async with ClientWatch(request.receive, lifecycle):
                await asyncio.Event().wait()
        except ClientGoneError:
            left.set()
        await Response()(scope, receive, send)

    async with serving(app) as address:
        host, _, port = address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
        while not lifecycle.open_requests:
            await asyncio.sleep(0.005)
        writer.close()
        await asyncio.wait_for(left.wait(), DEADLINE_S)
        await writer.wait_closed()
