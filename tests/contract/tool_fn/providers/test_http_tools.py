"""http_get and http_post, and how a provider that is slow is left."""

import msgspec
import pytest
from tool_fn.providers.provider import Provider
from tool_fn.tool import OutcomeUnknownError, ToolError
from tool_fn.web import Guard, Rules, WebClient

from tests.contract.tool_fn.providers.tools import ProviderServer, Tools


async def test_a_page_is_read(online: Tools, server: ProviderServer) -> None:
    text = await online.call("http_get", url=f"{server.url}/pages/Dormouse")
    head, body = text.split("\n\n", 1)
    assert head == f"{server.url}/pages/Dormouse (200 OK, text/html)"
    assert body.startswith("# Dormouse\n\nDormice are rodents")


async def test_a_page_inside_is_refused(online: Tools, server: ProviderServer) -> None:
    error = await online.error("http_get", url=server.url.replace("127.0.0.1", "localhost"))
    assert "Only public addresses" in error
    assert await server.asked() == []


async def test_a_long_page_is_read_on(online: Tools, server: ProviderServer) -> None:
    text = "".join(f"{number:09}\n" for number in range(4_500))
    await server.fault(path="/pages/Long", status=200, headers={"content-type": "text/plain"}, body=text, times=3)
    url = f"{server.url}/pages/Long"
    first = await online.call("http_get", url=url)
    assert first.endswith("\n\n[25000 more characters; go on with start=20000]")
    last = await online.call("http_get", url=url, start=40_000)
    assert last.split("\n\n", 1)[1] == text[40_000:]
    assert "has only 45000 characters" in await online.error("http_get", url=url, start=45_000)


async def test_a_status_of_400_and_above_is_an_error_with_what_it_says(online: Tools, server: ProviderServer) -> None:
    error = await online.error("http_get", url=f"{server.url}/pages/None")
    assert error == f"{server.url}/pages/None answered 404 Not Found. It says: # Not found"


async def test_a_picture_is_no_text(online: Tools, server: ProviderServer) -> None:
    await server.fault(path="/picture", status=200, headers={"content-type": "image/png"}, body="x" * 10)
    assert "is image/png (10 bytes), not text" in await online.error("http_get", url=f"{server.url}/picture")


@pytest.mark.parametrize("name", ["Host", "cookie", "X-Forwarded-For", "Metadata-Flavor", "Transfer-Encoding", "a b"])
async def test_headers_that_mean_something_to_others_are_not_sent(
    name: str, online: Tools, server: ProviderServer
) -> None:
    assert "cannot be sent" in await online.error("http_get", url=server.url, headers={name: "x"})
    assert await server.asked() == []


async def test_a_header_is_one_line(online: Tools, server: ProviderServer) -> None:
    await online.error("http_get", url=server.url, headers={"accept": "x\r\nhost: inside"})
    assert await server.asked() == []


@pytest.mark.parametrize(
    ("body", "kind", "stored"),
    [
        ({"json": {"a": [1, None]}}, "application/json", {"a": [1, None]}),
        ({"json": None}, "application/json", None),
        ({"text": "hellö"}, "text/plain; charset=utf-8", "hellö"),
        ({"text": "<a/>", "headers": {"Content-Type": "application/xml"}}, "application/xml", "<a/>"),
    ],
)
async def test_a_post_sends_its_body_once_with_its_key(
    body: dict[str, object], kind: str, stored: object, online: Tools, server: ProviderServer
) -> None:
    before = len((await server.http.get("/notes")).json()["notes"])
    text = await online.call("http_post", key="run_1:call_1", url=f"{server.url}/notes", **body)
    assert '"stored":true' in text
    notes = (await server.http.get("/notes")).json()["notes"][before:]
    assert [(note["content"], note["key"]) for note in notes] == [(stored, "run_1:call_1")]
    assert next(asked for asked in await server.asked() if asked["method"] == "POST")["headers"]["content-type"] == kind


@pytest.mark.parametrize("body", [{}, {"json": 1, "text": "x"}, {"text": "x" * 300_000}])
async def test_a_post_has_one_body(body: dict[str, object], online: Tools, server: ProviderServer) -> None:
    await online.error("http_post", key="k", url=f"{server.url}/notes", **body)
    assert await server.asked() == []


async def test_a_post_whose_answer_is_lost_may_have_had_its_effect(online: Tools, server: ProviderServer) -> None:
    await server.fault(path="/notes", cut=True)
    with pytest.raises(OutcomeUnknownError, match="may or may not have had its effect"):
        await online.call("http_post", key="k", url=f"{server.url}/notes", json={})


async def test_a_post_that_was_never_sent_says_no_such_thing(online: Tools) -> None:
    error = await online.error("http_post", key="k", url="http://127.0.0.1:1/", json={})
    assert "effect" not in error


async def test_a_slow_provider_is_left(server: ProviderServer) -> None:
    await server.fault(path="/v1/search", delay_ms=5000)
    client = WebClient(Guard(Rules()), 1000)
    try:
        provider = Provider("Open-Meteo", client, time_limit_s=0.1)
        with pytest.raises(ToolError, match="did not answer within"):
            await provider.get(f"{server.url}/v1/search", {"name": "Berlin"}, msgspec.Raw)
    finally:
        await client.aclose()
