"""What tools must not reach: each vector is refused, and a server inside never sees a request."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from aiohttp import web
from tool_fn.web import FetchError, RefusedError, WebClient

from tests.unit.tool_fn.web.local_server import LocalServer, Names, serving, web_client

PUBLIC = "93.184.216.34"

IPV4 = [
    "127.0.0.1", "127.1.2.3", "127.255.255.254", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255",
    "192.168.0.1", "192.168.255.255", "169.254.0.1", "169.254.169.254", "169.254.170.2", "100.64.0.1",
    "100.127.255.255", "100.100.100.200", "0.0.0.0", "0.1.2.3", "192.0.0.1", "192.0.0.192", "192.0.2.1",
    "192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255", "168.63.129.16",
]  # fmt: skip
ODD_IPV4 = [
    "2130706433", "017700000001", "0x7f000001", "0X7F000001", "0x7f.1", "127.1", "127.0.1", "0177.0.0.1",
    "0x7f.0x0.0x0.0x1", "127.0.0.01", "127.0.0.1.", "127.0.0.0x1", "127.0.0.0x", "0", "0x", "4294967297", "127.0.0.256",
    "1.127.0.0.1", "127。0。0。1", "\uff11\uff12\uff17.\uff10.\uff10.\uff11", "①②⑦.⓪.⓪.①",
    "127\uff0e0\uff0e0\uff0e1", "₁₂₇.₀.₀.₁", "2852039166",
    "0xa9fea9fe", "169.254.43518",
]  # fmt: skip
IPV6 = [
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[::FFFF:169.254.169.254]", "[::ffff:93.184.216.34]", "[::127.0.0.1]", "[::7f00:1]",
    "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::127.0.0.1]",
    "[64:ff9b::5db8:d822]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2001:0:7f00:1::1]", "[2001::1]",
    "[2001:20::1]", "[2001:2::1]", "[2001:db8::1]", "[3fff::1]", "[fe80::1]", "[fe80::1%25lo]", "[fe80::1%lo]",
    "[::1%25lo]", "[fec0::1]", "[fc00::1]", "[fdff::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "[ff02::1]",
    "[ff0e::1]", "[100::1]", "[5f00::1]", "[4000::1]", "[2606:4700::5efe:7f00:1]", "[2606:4700::200:5efe:a00:1]",
    "[2620:4f:8000::1]", "[::1", "::1", "[127.0.0.1]", "[v1.7f]",
]  # fmt: skip
NAMES = [
    "localhost", "LOCALHOST", "localhost.", "ⓛocalhost", "loc%61lhost", "a.localhost", "localhost.localdomain",
    "printer.local", "router.lan", "db.corp", "wiki.intranet", "metadata", "instance-data", "redis", "postgres.svc",
    "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "host.docker.internal",
    "metadata.google.internal", "METADATA.google.internal.", "metadata.goog", "metadata.tencentyun.com",
    "1.0.0.127.in-addr.arpa", "hidden.onion", "-x.example", "a..example", ".example", "",
]  # fmt: skip
RESOLVED = {
    "loop.example": ["127.0.0.1"],
    "ten.example": ["10.1.2.3"],
    "cloud.example": ["169.254.169.254"],
    "azure.example": ["168.63.129.16"],
    "zero.example": ["0.0.0.0"],
    "six.example": ["::1"],
    "local-six.example": ["fe80::1%2"],
    "private-six.example": ["fd12::1"],
    "mapped.example": ["::ffff:10.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "second.example": [PUBLIC, "127.0.0.1"],
    "last.example": [PUBLIC, "93.184.216.35", "2606:2800:220:1::1", "::1"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "xn--bcher-kva.example": ["192.168.1.1"],
}
WHOLE = [
    "file:///etc/passwd", "gopher://127.0.0.1:{port}/_GET", "ftp://127.0.0.1/", "dict://127.0.0.1:{port}/info",
    "ldap://127.0.0.1/", "data:text/plain,hello", "javascript:alert(1)", "ws://127.0.0.1:{port}/",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/info", "unix:/var/run/docker.sock", "jar:http://127.0.0.1:{port}!/",
    "//127.0.0.1:{port}/", "127.0.0.1:{port}", "http:127.0.0.1:{port}", "http:/127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/", "http://", "http://:{port}/", "", "http://user@127.0.0.1:{port}/",
    "http://user:password@127.0.0.1:{port}/", "http://" + PUBLIC + "@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}@" + PUBLIC + "/", "http://" + PUBLIC + ":80@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@" + PUBLIC + "/", "http://" + PUBLIC + "\\@127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}\\", "http://127.0.0.1:{port}#@" + PUBLIC + "/",
    "http://127.0.0.1:{port}?@" + PUBLIC + "/", "http://" + PUBLIC + ":80:{port}/", "http://127.0.0.1 .example/",
    "http://127.0.0.1:{port}/\r\nHost: inside", "http://" + PUBLIC + "/ HTTP/1.1\r\nX: y",
    "http://127.0.0.1\t:{port}/", "http://127.0.0.1\x00.example/", "http://loc\u00adalhost:{port}/",
    "http://127.0.0.1%00.example/", "http://127.0.0.1%2f.example/", "http://" + PUBLIC + ":0/",
    "http://" + PUBLIC + ":65536/", "http://" + PUBLIC + ":-1/", "http://" + PUBLIC + ":٨٠/",
    "http://" + PUBLIC + ":22/", "http://" + PUBLIC + ":25/", "http://" + PUBLIC + ":53/",
    "http://" + PUBLIC + ":445/", "http://" + PUBLIC + ":3306/", "http://" + PUBLIC + ":5432/",
    "http://" + PUBLIC + ":6379/", "http://" + PUBLIC + ":11211/", "http://" + PUBLIC + ":27017/",
    "http://" + PUBLIC + "/" + "a" * 5000,
]  # fmt: skip
HOSTS = [*IPV4, *ODD_IPV4, *IPV6, *NAMES, *RESOLVED, "bücher.example"]
VECTORS = [*(f"http://{host}:{{port}}/secret" for host in HOSTS), *WHOLE]


@pytest.fixture(scope="module")
async def inside() -> AsyncIterator[LocalServer]:
    """A server inside, at 127.0.0.1 and ::1. Whatever it hears is a leak."""
    async with serving() as server, serving(host="::1", port=server.port) as sixth:
        yield server
        assert server.requests == sixth.requests == []


def test_there_are_many_vectors_and_no_two_are_the_same() -> None:
    assert len(VECTORS) == len(set(VECTORS)) >= 190


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
async def test_refuses(vector: str, inside: LocalServer) -> None:
    names = Names({**{name: [found] for name, found in RESOLVED.items()}, "localhost": [["127.0.0.1"]]})
    async with web_client(names) as client:
        with pytest.raises(RefusedError) as refused:
            await client.fetch("GET", vector.replace("{port}", str(inside.port)))
    assert inside.requests == []
    is_about_ports = str(refused.value).startswith("Port")
    assert not is_about_ports or vector in WHOLE[-11:]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_the_inside_is_refused_with_every_status(
    status: int, method: str, inside: LocalServer
) -> None:
    async with redirecting(f"http://127.0.0.1:{inside.port}/secret", status) as (client, url):
        with pytest.raises(RefusedError, match="redirects"):
            await client.fetch(method, url, body=b"x" if method == "POST" else None)
    assert inside.requests == []


REDIRECTS = [
    "http://localhost:{port}/", "http://[::1]:{port}/", "http://[::ffff:7f00:1]:{port}/", "//127.0.0.1:{port}/",
    "http://2130706433:{port}/", "http://169.254.169.254/latest/meta-data/", "http://loop.example:{port}/",
    "file:///etc/passwd", "gopher://127.0.0.1:{port}/", "http://user@127.0.0.1:{port}/", "http://0:{port}/",
    "http://127.0.0.1:{port}\\.example/", "http://[::1/", "https://127.0.0.1:{port}/",
]  # fmt: skip


@pytest.mark.parametrize("target", REDIRECTS, ids=range(len(REDIRECTS)))
async def test_a_redirect_is_judged_like_any_url(target: str, inside: LocalServer) -> None:
    async with redirecting(target.replace("{port}", str(inside.port))) as (client, url):
        with pytest.raises(RefusedError):
            await client.fetch("GET", url)
    assert inside.requests == []


async def test_the_last_of_several_redirects_is_judged_too(inside: LocalServer) -> None:
    hops = iter(["/2", "/3", f"http://127.0.0.1:{inside.port}/secret"])

    async def hop(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"location": next(hops)})

    async with serving(hop) as outside, allowed(outside.port) as client:
        with pytest.raises(RefusedError):
            await client.fetch("GET", f"http://outside.example:{outside.port}/1")
    assert inside.requests == []


async def test_a_name_is_resolved_once_and_the_connection_goes_to_what_was_judged() -> None:
    async with serving() as judged, serving(host="127.0.0.2", port=judged.port) as other:
        names = Names({"rebinding.example": [["127.0.0.1"], ["127.0.0.2"]]})
        url = f"rebinding.example:{judged.port}"
        async with web_client(names, allow_private=[url]) as client:
            answer = await client.fetch("GET", f"http://{url}/")
    assert answer.body == b"hello"
    assert names.asked == ["rebinding.example"]
    assert (len(judged.requests), len(other.requests)) == (1, 0)


async def test_a_name_that_turns_inside_between_two_requests_is_judged_anew(inside: LocalServer) -> None:
    async def to_itself(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"location": f"http://rebinding.example:{inside.port}/"})

    names = Names({"outside.example": [["127.0.0.1"]], "rebinding.example": [["127.0.0.1"]]})
    async with (
        serving(to_itself) as outside,
        web_client(names, allow_private=[f"outside.example:{outside.port}"]) as client,
    ):
        with pytest.raises(RefusedError):
            await client.fetch("GET", f"http://outside.example:{outside.port}/")
    assert names.asked == ["outside.example", "rebinding.example"]
    assert inside.requests == []


@pytest.mark.parametrize("entry", ["127.0.0.1", "[::1]", "service.example"])
async def test_an_allowed_inside_server_is_reached_by_exactly_its_host_and_port(
    entry: str, inside: LocalServer
) -> None:
    host = "::1" if entry == "[::1]" else "127.0.0.1"
    async with serving(host=host) as server, serving(host=host) as neighbour:
        names = Names({"service.example": [["127.0.0.1"]], "other.example": [["127.0.0.1"]]})
        async with web_client(names, allow_private=[f"{entry}:{server.port}"]) as client:
            assert (await client.fetch("GET", f"http://{entry}:{server.port}/")).body == b"hello"
            for wrong in (
                f"http://{entry}:{neighbour.port}/",
                f"http://{entry}/",
                f"http://other.example:{server.port}/",
                f"http://127.0.0.2:{server.port}/",
                f"http://localhost:{server.port}/",
                f"http://2130706433:{server.port}/",
                f"http://[::ffff:127.0.0.1]:{server.port}/",
            ):
                with pytest.raises(RefusedError):
                    await client.fetch("GET", wrong)
    assert (len(server.requests), neighbour.requests) == (1, [])


@pytest.mark.parametrize("host", ["169.254.169.254", "168.63.129.16", "[fd00:ec2::254]", "meta.example", "0.0.0.0"])
async def test_no_exception_opens_cloud_metadata(host: str) -> None:
    names = Names({"meta.example": [["169.254.169.254"]]})
    async with web_client(names, allow_private=[f"{host}:80"]) as client:
        with pytest.raises(RefusedError):
            await client.fetch("GET", f"http://{host}/")


async def test_a_host_outside_the_list_is_refused_before_its_name_is_resolved() -> None:
    names = Names({"example.org": [[PUBLIC]], "a.example.org": [[PUBLIC]]})
    async with web_client(names, allow=["*.example.org", "api.test.example:4444"]) as client:
        for url in (
            "http://example.org/",
            "http://evil-example.org/",
            "http://a.example.org.evil.example/",
            "http://a.example.org:22/",
            "http://api.test.example/",
            f"http://{PUBLIC}/",
        ):
            with pytest.raises(RefusedError, match="list of hosts"):
                await client.fetch("GET", url)
    assert names.asked == []


async def test_a_name_that_does_not_exist_is_no_refusal() -> None:
    async with web_client() as client:
        with pytest.raises(FetchError, match="There is no host") as failed:
            await client.fetch("GET", "http://nowhere.example/")
    assert not failed.value.is_sent


@asynccontextmanager
async def redirecting(location: str, status: int = 302) -> AsyncIterator[tuple[WebClient, str]]:
    """A client, and the URL of a server that it may ask and that redirects."""

    async def redirect(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, headers={"location": location})

    async with serving(redirect) as server, allowed(server.port) as client:
        yield client, f"http://outside.example:{server.port}/"


def allowed(port: int) -> AbstractAsyncContextManager[WebClient]:
    names = Names({"outside.example": [["127.0.0.1"]], "loop.example": [["127.0.0.1"]]})
    return web_client(names, allow_private=[f"outside.example:{port}"])
