"""web_search and what Tavily and SearXNG answer."""

from typing import Any

import pytest

from tests.contract.tool_fn.providers.tools import ProviderServer, Tools, tools

LIMITED = '{"detail": {"error": "Your request has been blocked due to excessive requests."}}'


async def test_tavily_is_asked_with_the_key_and_its_pages_are_told(online: Tools, server: ProviderServer) -> None:
    text = await online.call("web_search", query="Who wrote the first computer program?", max_results=2)
    first, second = text.split("\n\n")
    assert first.startswith(f"1. Ada Lovelace\n{server.url}/pages/Ada_Lovelace\n")
    assert "first computer program" in first
    assert second.startswith("2. Analytical Engine")
    (asked,) = await server.asked()
    assert (asked["method"], asked["path"]) == ("POST", "/search")
    assert asked["headers"]["authorization"] == "Bearer tvly-dev"
    assert asked["headers"]["user-agent"] == "Dormouse/0.1 (ops@example.org)"


async def test_searxng_is_asked_where_there_is_no_key(server: ProviderServer) -> None:
    async with tools(server.configuration(searxng=True)) as found:
        text = await found.call("web_search", query="highest mountain", period="week", topic="news", max_results=1)
    assert text.startswith("1. Mount Everest\n")
    (asked,) = await server.asked()
    assert asked["method"] == "GET"
    assert asked["path"] == "/search?q=highest+mountain&format=json&categories=news&time_range=week"


async def test_without_a_provider_the_model_learns_so_and_the_operator_what_to_set() -> None:
    async with tools({}) as found:
        error = await found.error("web_search", query="anything")
    assert "no provider is configured" in error
    assert "TAVILY_API_KEY" in error
    assert "search.searxng_url" in error


async def test_nothing_found_is_said(online: Tools) -> None:
    assert "Nothing was found for 'qqqq'" in await online.call("web_search", query="qqqq")


async def test_a_key_that_is_not_accepted_is_the_operators_to_change(server: ProviderServer) -> None:
    async with tools(server.configuration(), {"TAVILY_API_KEY": "wrong"}) as found:
        error = await found.error("web_search", query="tea")
    assert "does not accept the key in TAVILY_API_KEY" in error
    assert "do not try again" in error
    assert "wrong" not in error
    assert len(await server.asked()) == 1


async def test_a_short_wait_is_waited_once(online: Tools, server: ProviderServer) -> None:
    await server.fault(path="/search", status=429, headers={"retry-after": "0"}, body=LIMITED)
    assert "Mount Everest" in await online.call("web_search", query="everest")
    assert len(await server.asked()) == 2


async def test_a_second_refusal_is_told(online: Tools, server: ProviderServer) -> None:
    await server.fault(path="/search", status=429, headers={"retry-after": "0"}, body=LIMITED, times=2)
    error = await online.error("web_search", query="everest")
    assert "too many requests" in error
    assert "It says: Your request has been blocked due to excessive requests." in error
    assert len(await server.asked()) == 2


@pytest.mark.parametrize("headers", [{"retry-after": "60"}, {"retry-after": "Wed, 01 Jan 2098 00:00:00 GMT"}, {}])
async def test_a_long_wait_is_the_models_to_decide(
    headers: dict[str, str], online: Tools, server: ProviderServer
) -> None:
    await server.fault(path="/search", status=429, headers=headers, body=LIMITED)
    error = await online.error("web_search", query="everest")
    assert ("in 60 s" in error) == (headers == {"retry-after": "60"})
    assert len(await server.asked()) == 1


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"status": 432, "body": '{"detail": {"error": "This request exceeds your plan."}}'}, "exceeds your plan"),
        ({"status": 500, "body": "<html>oops</html>"}, "fails at the moment (HTTP 500)"),
        ({"status": 503}, "fails at the moment (HTTP 503)"),
        ({"status": 200, "body": "<html>Welcome to the hotel's network</html>"}, "not JSON"),
        ({"status": 200, "body": '{"results": [{"title": 1}]}'}, "in a form that is not understood"),
        ({"status": 200, "body": '{"x": ' + "[" * 100_000}, "not JSON"),
        ({"status": 200, "body": '{"results": [], "x": "' + "a" * 1_000_000 + '"}'}, "longer than may be read"),
        ({"status": 301, "headers": {"location": "https://elsewhere.example/"}}, "moved to another address"),
        ({"cut": True}, "cannot be asked now"),
    ],
)
async def test_what_goes_wrong_at_the_provider_is_a_sentence(
    fault: dict[str, Any], says: str, online: Tools, server: ProviderServer
) -> None:
    await server.fault(path="/search", **fault)
    assert says in await online.error("web_search", query="tea")


async def test_searxng_without_json_is_the_operators_to_change(server: ProviderServer) -> None:
    await server.fault(path="/search", status=403, body="<h1>Forbidden</h1>")
    async with tools(server.configuration(searxng=True)) as found:
        error = await found.error("web_search", query="tea")
    assert "search.formats" in error


async def test_answers_and_infoboxes_of_searxng_are_told_in_both_forms(server: ProviderServer) -> None:
    body = (
        '{"query": "q", "results": [{"url": "http://a.example/", "title": "A", "content": null}], "answers": '
        '["42", {"answer": "43", "url": null}], "infoboxes": [{"infobox": "Tea", "content": "a drink"}]}'
    )
    await server.fault(path="/search", status=200, body=body)
    async with tools(server.configuration(searxng=True)) as found:
        text = await found.call("web_search", query="q")
    assert text == "Direct answer: 42\n\nDirect answer: 43\n\nDirect answer: Tea: a drink\n\n1. A\nhttp://a.example/"


async def test_engines_that_all_fail_are_named(server: ProviderServer) -> None:
    body = '{"results": [], "unresponsive_engines": [["google", "CAPTCHA"], ["bing", "timeout"]]}'
    await server.fault(path="/search", status=200, body=body)
    async with tools(server.configuration(searxng=True)) as found:
        assert "(bing, google)" in await found.error("web_search", query="q")


async def test_a_provider_that_is_not_there_is_told() -> None:
    config = {"search": {"searxng_url": "http://127.0.0.1:9"}}
    async with tools(config) as found:
        assert "SearXNG cannot be asked now: No connection" in await found.error("web_search", query="q")
