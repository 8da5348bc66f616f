"""HTTP that no client library would send: odd paths and headers, broken and endless requests."""

import asyncio
import json
import re
from collections.abc import AsyncIterator

import pytest

from tests.clients.refusals import error_of, raw, unbroken
from tests.stack import Platform, Stack, Tenant

PATHS = (
    "/v1",
    "/v1/",
    "/v2/models",
    "/V1/models",
    "/v1/run",
    "/v1/runs/",
    "//v1/runs",
    "/v1//runs",
    "/v1/models;x=1",
    "/v1/../v1/nothing",
    "/v1/%2e%2e/v1/nothing",
    "/v1/runs/../../etc/passwd",
    "/v1/runs/%2e%2e/%2e%2e",
    "/v1/threads/%2Fstate/x",
    "/v1/runs%3Flimit=1",
    "/v1/chat/completions/../../../x",
    "/\\..\\..\\windows",
    "/.env",
    "/.git/config",
    "/%00",
    "/%ff%fe",
    "/v1/%",
    "/v1/%zz",
    "/" + "a" * 20_000,
    "/" + "%25" * 5000,
)


@pytest.fixture(scope="module", autouse=True)
async def nothing_breaks(platform: Platform) -> AsyncIterator[None]:
    async with unbroken(platform):
        yield


@pytest.fixture(scope="module")
async def owner(stack: Stack) -> Tenant:
    return await stack.database.tenant()


def head(method: str, target: str, tenant: Tenant | None = None, *lines: str, host: str = "Host: x") -> bytes:
    """The head of a request, with nothing checked."""
    own = [f"Authorization: Bearer {tenant.api_key}"] if tenant else []
    return "\r\n".join((f"{method} {target} HTTP/1.1", host, *own, *lines, "", "")).encode("latin-1")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:20])
async def test_a_path_that_leads_nowhere_is_not_found(platform: Platform, owner: Tenant, path: str) -> None:
    answer = await raw(platform, head("GET", path, owner))
    assert error_of(answer, 404)["code"] in ("unknown_url", "run_not_found", "thread_not_found", "model_not_found")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-request-id": "x" * 5000},
        {"x-request-id": "a b\t<script>"},
        {"traceparent": "00-zz-zz-01"},
        {"traceparent": "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "tracestate": "=" * 600},
        {"accept": "image/png;q=0"},
        {"accept-encoding": "identity;q=0, *;q=0"},
        {"range": "bytes=0-1"},
        {"if-match": "*", "if-modified-since": "yesterday"},
        {"host": "evil.example"},
        {"x-forwarded-for": "127.0.0.1," * 50, "x-forwarded-proto": "gopher"},
        {"content-length": "0", "content-type": "application/json"},
        {"cookie": "a=" + "b" * 4000},
        {"upgrade": "h2c", "connection": "Upgrade, HTTP2-Settings", "http2-settings": "AAMAAABkAARAAAAAAAIAAAAA"},
        {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-key": "x", "sec-websocket-version": "13"},
    ],
    ids=lambda headers: next(iter(headers)),
)
async def test_odd_headers_change_nothing(platform: Platform, owner: Tenant, headers: dict[str, str]) -> None:
    async with platform.edge.client(owner) as http:
        response = await http.get("/v1/models", headers=headers)
    assert response.status_code == 200
    assert response.json()["object"] == "list"
    assert len(response.headers["x-request-id"]) <= 128
    assert "script" not in response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("lines", "rest"),
    [
        (("Content-Length: -1",), b""),
        (("Content-Length: x",), b"{}"),
        (("Content-Length: 2", "Content-Length: 3"), b"{} "),
        (("Content-Length: 2", "Transfer-Encoding: chunked"), b"{}"),
        (("Transfer-Encoding: chunked, identity",), b"{}"),
        (("Transfer-Encoding: chunked",), b"zz\r\n{}\r\n"),
        (("Transfer-Encoding: chunked",), b"ffffffffffffffffff\r\n{}\r\n"),
        (("Transfer-Encoding: chunked",), b"2\r\n{}XX0\r\n\r\n"),
        (("X-A: a\0b", "Content-Length: 0"), b""),
        (("X-A\x01: a", "Content-Length: 0"), b""),
        (("no colon", "Content-Length: 0"), b""),
        ((": no name", "Content-Length: 0"), b""),
        (("X A: a", "Content-Length: 0"), b""),
        (("Content-Length : 0",), b""),
    ],
    ids=lambda part: str(part)[:40],
)
async def test_http_that_is_broken_is_refused(
    platform: Platform, owner: Tenant, lines: tuple[str, ...], rest: bytes
) -> None:
    answer = await raw(platform, head("POST", "/v1/runs", owner, "Content-Type: application/json", *lines), rest)
    assert error_of(answer, 400)["code"] == "invalid_http"
    assert answer.headers["connection"] == "close"


NOT_HTTP = (
    b"NONSENSE\r\n\r\n",
    b"FROBNICATE /v1/models HTTP/1.1\r\n\r\n",
    b"GET  HTTP/1.1\r\n\r\n",
    b"GET /v1/models HTTP/9.9\r\n\r\n",
    b"GET /v1/mod els HTTP/1.1\r\n\r\n",
    b"G\xffT / HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"\0\0\0\r\n\r\n",
)


@pytest.mark.parametrize("request_line", NOT_HTTP, ids=lambda line: line[:16].hex())
async def test_what_is_not_http_is_refused(platform: Platform, request_line: bytes) -> None:
    assert error_of(await raw(platform, request_line), 400)["code"] == "invalid_http"


async def test_a_head_without_end_is_refused(platform: Platform, owner: Tenant) -> None:
    for lines in (["X-A: " + "y" * 70_000], [f"X-{number}: y" for number in range(10_000)]):
        answer = await raw(platform, head("GET", "/v1/models", owner, *lines))
        assert error_of(answer, 431)["code"] == "headers_too_large"


async def test_requests_that_follow_each_other_are_answered_in_order(platform: Platform, owner: Tenant) -> None:
    """A body that is refused is not read as the next request."""
    hidden = head("DELETE", "/v1/threads/x", owner)
    body = json.dumps({"a": hidden.decode()}).encode()
    first = head("POST", "/v1/nothing", owner, f"Content-Length: {len(body)}")
    host, _, port = platform.edge.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(first + body + head("GET", "/healthz", None, "Connection: close"))
    async with asyncio.timeout(10):
        said = await reader.read()
    writer.close()
    assert re.findall(rb"HTTP/1\.1 (\d+)", said) == [b"404", b"200"]


async def test_a_client_that_hangs_up_in_the_middle_of_its_body_harms_nobody(platform: Platform, owner: Tenant) -> None:
    host, _, port = platform.edge.address.rpartition(":")
    for path in ("/v1/runs", "/v1/chat/completions", "/v1/agents/chat/ag-ui", "/v1/threads"):
        _, writer = await asyncio.open_connection(host, int(port))
        lines = ("Content-Type: application/json", "Content-Length: 1000")
        writer.write(head("POST", path, owner, *lines) + b'{"model"')
        await writer.drain()
        writer.transport.abort()
    async with platform.edge.client() as http:
        assert (await http.get("/healthz")).status_code == 200
