"""MediaWiki's action API, as far as action=query with extracts, search and links goes."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import quote

from aiohttp import web

from devstack.model_server.words import stem, words
from devstack.provider_server.articles import REDIRECTS, SOURCE, Article, find, passage, search
from devstack.provider_server.state import json_response

_INVALID = re.compile(r"[\[\]{}|#<>\x00-\x1f]")


def add_routes(router: web.UrlDispatcher) -> None:
    """Register these endpoints; the language may stand before the path."""
    router.add_get("/w/api.php", _api)
    router.add_get("/{language:[a-z][a-z-]+}/w/api.php", _api)


async def _api(request: web.Request) -> web.Response:
    if not request.headers.get("user-agent", ""):
        return web.Response(
            status=403, text="Please set a user-agent and respect our robot policy", content_type="text/html"
        )
    query = request.query
    if query.get("format") != "json" or query.get("formatversion") != "2":
        return web.Response(text="<p>only format=json&amp;formatversion=2 is here</p>", content_type="text/html")
    if query.get("action") != "query":
        return _error("badvalue", f'Unrecognized value for parameter "action": {query.get("action", "")}.')
    language = request.match_info.get("language", "en")
    if query.get("list") == "search":
        return _search(request, language)
    if query.get("generator") == "links":
        return _links(request, language)
    if "titles" not in query:
        return json_response({"batchcomplete": True})
    return json_response({"batchcomplete": True, "query": _pages(request, language)})


def _pages(request: web.Request, language: str) -> dict[str, Any]:
    wanted = request.query["titles"]
    answer: dict[str, Any] = {}
    if _INVALID.search(wanted) or not wanted.strip():
        reason = "The requested page title contains invalid characters"
        return {"pages": [{"title": wanted, "invalidreason": reason, "invalid": True}]}
    title = " ".join(wanted.replace("_", " ").split())
    title = title[:1].upper() + title[1:]
    if title != wanted:
        answer["normalized"] = [{"fromencoded": False, "from": wanted, "to": title}]
    if "redirects" in request.query and language == "en" and title in REDIRECTS:
        answer["redirects"] = [{"from": title, "to": REDIRECTS[title]}]
        title = REDIRECTS[title]
    article = find(title, language)
    if article is None:
        return {**answer, "pages": [{"ns": 0, "title": title, "missing": True}]}
    return {**answer, "pages": [_page(request, article, language)]}


def _page(request: web.Request, article: Article, language: str) -> dict[str, Any]:
    properties = request.query.get("prop", "").split("|")
    page: dict[str, Any] = {"pageid": _id(article), "ns": 0, "title": article.title}
    if "extracts" in properties:
        page["extract"] = f"{article.intro}\n\n{SOURCE}" if "exintro" in request.query else article.text
    if "pageprops" in properties and article.choices:
        page["pageprops"] = {"disambiguation": ""}
    if "info" in properties and request.query.get("inprop") == "url":
        page["fullurl"] = f"http://{request.host}/pages/{quote(article.slug)}"
        page["pagelanguage"] = language
    if "description" in properties:
        page |= {"description": article.description, "descriptionsource": "local"}
    return page


def _search(request: web.Request, language: str) -> web.Response:
    text = request.query.get("srsearch", "")
    if not text:
        return _error("missingparam", 'The "srsearch" parameter must be set.')
    found = search(text, language)
    limit = int(request.query.get("srlimit", "10"))
    hits = [
        {
            "ns": 0,
            "title": article.title,
            "pageid": _id(article),
            "size": len(article.text),
            "wordcount": len(article.text.split()),
            "snippet": _marked(passage(article, text), text),
            "timestamp": "2026-01-01T00:00:00Z",
        }
        for _, article in found[:limit]
    ]
    return json_response({"batchcomplete": True, "query": {"searchinfo": {"totalhits": len(found)}, "search": hits}})


def _links(request: web.Request, language: str) -> web.Response:
    article = find(request.query.get("titles", ""), language)
    linked = [found for title in sorted(article.choices) if (found := find(title))] if article else []
    pages = [_page(request, found, language) for found in linked]
    return json_response({"batchcomplete": True, **({"query": {"pages": pages}} if pages else {})})


def _marked(text: str, query: str) -> str:
    wanted = {stem(word) for word in words(query)}
    return re.sub(
        r"[^\W_]+",
        lambda word: f'<span class="searchmatch">{word[0]}</span>' if stem(word[0].lower()) in wanted else word[0],
        html.escape(text, quote=False),
    )


def _id(article: Article) -> int:
    return 1000 + sum(article.title.encode())


def _error(code: str, info: str) -> web.Response:
    # MediaWiki says so with status 200.
    docref = "See the API's page of help for usage."
    return json_response({"error": {"code": code, "info": info, "docref": docref}, "servedby": "dormouse-dev"})
