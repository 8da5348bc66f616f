"""What the client sends and reads, and how it ends what does not."""

import asyncio
import datetime
import gzip
import ipaddress
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tool_fn.web import FetchError, Guard, RefusedError, Rules, WebClient

from tests.unit.tool_fn.web.local_server import Handler, LocalServer, Names, serving, web_client

Raw = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def client_of(handler: Handler, max_bytes: int = 1000) -> AsyncIterator[tuple[WebClient, LocalServer, str]]:
    async with serving(handler) as server:
        names = Names({"outside.example": [["127.0.0.1"]], "other.example": [["127.0.0.1"]]})
        hosts = [f"{name}:{server.port}" for name in ("outside.example", "other.example")]
        async with web_client(names, allow_private=hosts, max_bytes=max_bytes) as client:
            yield client, server, f"http://outside.example:{server.port}"


@asynccontextmanager
async def raw_server(answer: Raw) -> AsyncIterator[tuple[WebClient, str]]:
    """A server that writes what it likes."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with web_client(allow_private=[f"127.0.0.1:{port}"], max_bytes=1000) as client:
            yield client, f"http://127.0.0.1:{port}/"
    finally:
        server.close()


def writes(data: bytes) -> Raw:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        writer.close()

    return answer


def answering(body: bytes, **headers: str) -> Handler:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


async def test_says_who_asks_and_sends_no_cookie_and_no_secret_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    async with client_of(answering(b"", set_cookie="a=b")) as (client, server, url):
        for _ in range(2):
            answer = await client.fetch("GET", f"{url}/path?q=%20ä#part")
    assert (answer.status, answer.url) == (200, f"{url}/path?q=%20ä")
    method, path, headers, _ = server.requests[1]
    assert (method, path) == ("GET", "/path?q=%20%C3%A4")
    assert headers["user-agent"].startswith("Dormouse/")
    assert headers["host"] == url.removeprefix("http://")
    assert "cookie" not in headers


async def test_a_long_body_is_cut() -> None:
    async with client_of(answering(b"x" * 5000)) as (client, _, url):
        answer = await client.fetch("GET", url)
    assert (len(answer.body), answer.is_cut) == (1000, True)


async def test_a_body_of_just_the_limit_is_whole() -> None:
    async with client_of(answering(b"x" * 1000)) as (client, _, url):
        answer = await client.fetch("GET", url)
    assert (len(answer.body), answer.is_cut) == (1000, False)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate"])
async def test_a_bomb_is_cut_where_it_is_unpacked(encoding: str) -> None:
    packer = zlib.compressobj(wbits={"gzip": 31, "deflate": 15, "raw deflate": -15}[encoding])
    bomb = b"".join([*(packer.compress(b"a" * 1_000_000) for _ in range(20)), packer.flush()])
    assert len(bomb) > 1000
    async with client_of(answering(bomb, content_encoding=encoding.split()[-1]), 200_000) as (client, _, url):
        answer = await client.fetch("GET", url)
    assert (answer.body, answer.is_cut) == (b"a" * 200_000, True)


async def test_a_packed_body_is_read() -> None:
    async with client_of(answering(gzip.compress(b"hello"), content_encoding="gzip")) as (client, _, url):
        assert (await client.fetch("GET", url)).body == b"hello"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip", "deflate"])
async def test_a_packing_that_cannot_be_read_is_told(encoding: str) -> None:
    async with client_of(answering(b"no gzip at all", content_encoding=encoding)) as (client, _, url):
        with pytest.raises(FetchError, match="packed"):
            await client.fetch("GET", url)


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 10_000 + b"\r\n",
    ],
    ids=["no HTTP", "nothing", "broken off", "bad chunks", "long header", "many headers"],
)
async def test_what_is_no_proper_answer_is_told(data: bytes) -> None:
    async with raw_server(writes(data)) as (client, url):
        with pytest.raises(FetchError) as failed:
            await client.fetch("GET", url)
    assert failed.value.is_sent


async def test_a_server_that_dawdles_is_left_in_time() -> None:
    async def dawdle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        except OSError:
            writer.close()

    async with raw_server(dawdle) as (client, url):
        with pytest.raises(FetchError, match="did not answer within"):
            await client.fetch("GET", url, time_limit_s=0.2)


async def test_a_port_at_which_nobody_listens_has_not_received_anything() -> None:
    async with serving() as server:
        port = server.port
    async with web_client(allow_private=[f"127.0.0.1:{port}"]) as client:
        with pytest.raises(FetchError, match="No connection") as failed:
            await client.fetch("POST", f"http://127.0.0.1:{port}/", body=b"x")
    assert not failed.value.is_sent


@pytest.mark.parametrize(
    ("method", "status", "followed_by"),
    [
        ("GET", 301, "GET"),
        ("GET", 307, "GET"),
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("POST", 303, "GET"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
    ],
)
async def test_a_redirect_is_followed_as_browsers_do(method: str, status: int, followed_by: str) -> None:
    async def hop(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/2":
            return web.Response(text="there")
        return web.Response(status=status, headers={"location": "/2"})

    body = b"body" if method == "POST" else None
    headers = {"idempotency-key": "k", "authorization": "secret"} if body else {"authorization": "secret"}
    async with client_of(hop) as (client, server, url):
        answer = await client.fetch(method, url, headers=headers, body=body)
    assert (answer.url, answer.body) == (f"{url}/2", b"there")
    sent = server.requests[1]
    assert (sent[0], sent[3]) == (followed_by, b"body" if followed_by == "POST" else b"")
    assert sent[2]["authorization"] == "secret"
    assert ("idempotency-key" in sent[2]) == (followed_by == "POST")


async def test_secrets_do_not_go_along_to_another_host() -> None:
    async def hop(request: web.BaseRequest) -> web.StreamResponse:
        if request.host.startswith("other"):
            return web.Response()
        return web.Response(status=302, headers={"location": str(request.url.with_host("other.example"))})

    sent = {"authorization": "secret", "x-api-key": "secret", "accept": "text/plain"}
    async with client_of(hop) as (client, server, url):
        await client.fetch("GET", url, headers=sent)
    headers = server.requests[1][2]
    assert headers["accept"] == "text/plain"
    assert "secret" not in headers.values()


@pytest.mark.parametrize("status", [307, 308])
async def test_a_post_is_not_repeated_at_another_host(status: int) -> None:
    async def hop(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, headers={"location": str(request.url.with_host("other.example"))})

    async with client_of(hop) as (client, server, url):
        with pytest.raises(FetchError, match="Nothing was sent there"):
            await client.fetch("POST", url)
    assert len(server.requests) == 1


async def test_endless_redirects_are_left() -> None:
    async def hop(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"location": request.path + "x"})

    async with client_of(hop) as (client, server, url):
        with pytest.raises(FetchError, match="more than 5 times"):
            await client.fetch("GET", url)
    assert len(server.requests) == 6


async def test_a_cancelled_request_is_closed() -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        closed.set()
        writer.close()

    async with raw_server(hang) as (client, url):
        request = asyncio.create_task(client.fetch("GET", url))
        await asked.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        async with asyncio.timeout(1):
            await closed.wait()


async def test_the_certificate_must_be_that_of_the_name_although_the_address_is_pinned(tmp_path: Path) -> None:
    certificate, trust = certificate_for("secure.example", tmp_path)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writes(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsafe")(reader, writer)

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=certificate)
    port = server.sockets[0].getsockname()[1]
    names = Names({"secure.example": [["127.0.0.1"]], "wrong.example": [["127.0.0.1"]]})
    rules = Rules.read((), [f"secure.example:{port}", f"wrong.example:{port}"])
    client = WebClient(Guard(rules, names), 1000, trust)
    try:
        assert (await client.fetch("GET", f"https://secure.example:{port}/")).body == b"safe"
        with pytest.raises(FetchError, match="certificate"):
            await client.fetch("GET", f"https://wrong.example:{port}/")
    finally:
        await client.aclose()
        server.close()


def certificate_for(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for the name, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=certificate.public_bytes(pem).decode())


@pytest.mark.parametrize(
    "entry", ["", "http://example.org", "a b.example", "*.10.0.0.1", "example.org:0", "x:99999999"]
)
def test_a_rule_that_is_none_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="allow: "):
        Rules.read([entry])


@pytest.mark.parametrize("entry", ["example.org", "*.example.org:80", "127.1:80"])
def test_an_exception_needs_a_host_and_a_port(entry: str) -> None:
    with pytest.raises(ValueError, match="allow_private: "):
        Rules.read((), [entry])


async def test_hosts_of_the_list_are_allowed_in_any_spelling() -> None:
    rules = Rules.read(["Example.ORG", "*.bücher.example", "api.example:4444", "[2606:4700::1]"])
    guard = Guard(rules, Names({name: [["93.184.216.34"]] for name in ("example.org", "a.xn--bcher-kva.example")}))
    target = await guard.check("HTTP://EXAMPLE.org.:8080/a?b#c")
    assert (target.url, target.port) == ("http://example.org:8080/a?b", 8080)
    assert target.addresses == (ipaddress.ip_address("93.184.216.34"),)
    assert (await guard.check("https://a.bücher.example")).url == "https://a.xn--bcher-kva.example/"
    assert (await guard.check("http://[2606:4700:0::1]:80/")).url == "http://[2606:4700::1]/"
    with pytest.raises(RefusedError):
        await guard.check("http://api.example/")
