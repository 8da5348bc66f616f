"""wikipedia and what MediaWiki's API answers."""

import json

import pytest

from tests.contract.tool_fn.providers.tools import ProviderServer, Tools, tools


async def test_an_articles_introduction_comes_with_its_address(online: Tools, server: ProviderServer) -> None:
    text = await online.call("wikipedia", query="Mount Everest")
    assert text.startswith(f"Mount Everest\n{server.url}/pages/Mount_Everest\n\nMount Everest is the highest mountain")
    (asked,) = await server.asked()
    assert asked["path"].startswith("/en/w/api.php?action=query&format=json&formatversion=2")
    assert asked["headers"]["user-agent"] == "Dormouse/0.1 (ops@example.org)"


async def test_the_whole_article_has_its_sections(online: Tools) -> None:
    intro = await online.call("wikipedia", query="Dormouse")
    whole = await online.call("wikipedia", query="Dormouse", full=True)
    assert "== Hibernation ==" not in intro
    assert "== Hibernation ==\nBefore winter" in whole


async def test_a_redirect_is_followed(online: Tools) -> None:
    assert (await online.call("wikipedia", query="quicksilver")).startswith("Mercury (element)\n")


async def test_a_name_with_several_meanings_offers_them_in_the_pages_order(online: Tools) -> None:
    text = await online.call("wikipedia", query="Mercury")
    assert text.splitlines() == [
        "'Mercury' has several meanings. Call again with the title that is meant:",
        "- Mercury (planet): First planet from the Sun",
        "- Mercury (element): Chemical element with atomic number 80",
        "- Mercury (mythology): Roman god",
    ]
    assert (await online.call("wikipedia", query="Mercury (planet)")).startswith("Mercury (planet)\n")


async def test_words_that_are_no_title_are_searched_for(online: Tools) -> None:
    text = await online.call("wikipedia", query="first computer program")
    assert text.startswith("Ada Lovelace\n")
    assert "Other articles that fit:\n- Analytical Engine: " in text
    assert "<span" not in text


async def test_a_missing_page_is_said(online: Tools) -> None:
    assert await online.call("wikipedia", query="qqqq") == (
        "Wikipedia (en) has no article on 'qqqq'. Try other or fewer words."
    )


async def test_a_suggestion_is_passed_on(online: Tools, server: ProviderServer) -> None:
    await server.fault(path="/en/w/api.php", status=200, body='{"query": {"pages": [{"title": "Q", "missing": true}]}}')
    body = '{"query": {"searchinfo": {"totalhits": 0, "suggestion": "tea"}, "search": []}}'
    await server.fault(path="/en/w/api.php", status=200, body=body)
    assert "Did you mean 'tea'?" in await online.call("wikipedia", query="tae")


@pytest.mark.parametrize("query", ["a|b", "[[x]]", "#tea", "{{tea}}"])
async def test_what_no_title_holds_is_searched_for_and_never_taken_for_several_titles(
    query: str, online: Tools, server: ProviderServer
) -> None:
    await online.call("wikipedia", query=query)
    assert "list=search" in (await server.asked())[0]["path"]


async def test_another_language_is_asked_at_its_own_address(online: Tools, server: ProviderServer) -> None:
    assert "Winterschlaf" in await online.call("wikipedia", query="Haselmaus", language="de")
    assert (await server.asked())[0]["path"].startswith("/de/w/api.php?")


@pytest.mark.parametrize("language", ["e", "EN", "en.evil.example/", "en/../x", "en@x", "1"])
async def test_a_language_is_nothing_but_a_code(language: str, online: Tools, server: ProviderServer) -> None:
    assert "language" in await online.error("wikipedia", query="Tea", language=language)
    assert await server.asked() == []


async def test_a_wiki_of_one_language_says_so(server: ProviderServer) -> None:
    async with tools({"wikipedia": {"url": f"{server.url}/w/api.php"}}) as found:
        assert "Only the language en" in await found.error("wikipedia", query="Tea", language="de")
        assert "Everest" in await found.call("wikipedia", query="Everest")


async def test_a_long_article_is_read_on(online: Tools, server: ProviderServer) -> None:
    words = " ".join(str(number) for number in range(10_000))
    body = json.dumps({"query": {"pages": [{"title": "Long", "fullurl": "http://x.example/", "extract": words}]}})
    await server.fault(path="/en/w/api.php", status=200, body=body, times=3)
    first = await online.call("wikipedia", query="Long", full=True)
    assert first.endswith(f"[{len(words) - 20_000} more characters; go on with start=20000]")
    second = await online.call("wikipedia", query="Long", full=True, start=20_000)
    assert words == first.split("\n\n")[1] + second.split("\n\n")[1].removesuffix("\n")[:20_000] + words[40_000:]
    assert "only 48889 characters" in await online.error("wikipedia", query="Long", full=True, start=50_000)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, '{"error": {"code": "maxlag", "info": "Waiting for a database server"}}', "too busy"),
        (200, '{"error": {"code": "badvalue", "info": "Unrecognized value"}}', "It says: Unrecognized value"),
        (403, "Please set a user-agent", "refuses access (HTTP 403)"),
        (429, "too many", "too many requests"),
        (200, "<html>", "not JSON"),
    ],
)
async def test_what_goes_wrong_at_the_wiki_is_a_sentence(
    status: int, body: str, says: str, online: Tools, server: ProviderServer
) -> None:
    await server.fault(path="/en/w/api.php", status=status, body=body)
    assert says in await online.error("wikipedia", query="Tea")
