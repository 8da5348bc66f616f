"""Tavily's and SearXNG's search over the articles, and the pages that the results lead to."""

from __future__ import annotations

import html
from typing import Any
from urllib.parse import quote

import orjson
from aiohttp import web

from devstack.provider_server.articles import SOURCE, Article, find, passage, search
from devstack.provider_server.state import json_response

KEY_PREFIX = "tvly-"
_UNAUTHORIZED = {"detail": {"error": "Unauthorized: missing or invalid API key."}}
_FIELDS = {
    "query", "max_results", "search_depth", "topic", "time_range", "include_answer", "include_raw_content",
    "include_images", "include_domains", "exclude_domains", "days", "chunks_per_source", "country",
    "start_date", "end_date", "auto_parameters", "include_favicon", "include_usage", "include_image_descriptions",
}  # fmt: skip


def add_routes(router: web.UrlDispatcher) -> None:
    """Register these endpoints."""
    router.add_post("/search", _tavily)
    router.add_get("/search", _searxng)
    router.add_get("/pages/{slug}", _page)


async def _tavily(request: web.Request) -> web.Response:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.startswith(KEY_PREFIX):
        return json_response(_UNAUTHORIZED, 401)
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        return _wrong("The body is not JSON.")
    if not isinstance(body, dict) or not isinstance(body.get("query"), str) or not body["query"].strip():
        return _wrong("Query is missing.")
    if unknown := set(body) - _FIELDS:
        return _wrong(f"Invalid field: {min(unknown)}")
    most = body.get("max_results", 5)
    if not isinstance(most, int) or not 0 <= most <= 20:
        return _wrong("Max results must be between 0 and 20.")
    if body.get("topic", "general") not in ("general", "news", "finance"):
        return _wrong("Invalid topic. Must be 'general', 'news' or 'finance'.")
    results = [
        {
            "url": _url(request, article),
            "title": article.title,
            "content": f"{passage(article, body['query'])} ({SOURCE})",
            "score": score,
            "raw_content": None,
        }
        for score, article in search(body["query"])[:most]
    ]
    return json_response(
        {
            "query": body["query"],
            "follow_up_questions": None,
            "answer": None,
            "images": [],
            "results": results,
            "response_time": 0.01,
            "request_id": "00000000-0000-4000-8000-000000000000",
        }
    )


async def _searxng(request: web.Request) -> web.Response:
    text = request.query.get("q", "").strip()
    if request.query.get("format") != "json":
        return web.Response(status=403, text="Forbidden", content_type="text/html")
    if not text:
        return web.Response(status=400, text="No query", content_type="text/html")
    if request.query.get("time_range", "") not in ("", "day", "week", "month", "year"):
        return web.Response(status=400, text="Invalid time range", content_type="text/html")
    results: list[dict[str, Any]] = [
        {
            "url": _url(request, article),
            "title": article.title,
            "content": f"{passage(article, text)} ({SOURCE})",
            "publishedDate": None,
            "thumbnail": "",
            "engine": "dormouse-dev",
            "template": "default.html",
            "parsed_url": ["http", request.host, f"/pages/{article.slug}", "", "", ""],
            "engines": ["dormouse-dev"],
            "positions": [number],
            "score": score,
            "category": "general",
        }
        for number, (score, article) in enumerate(search(text), 1)
    ]
    return json_response(
        {
            "query": text,
            "number_of_results": len(results),
            "results": results,
            "answers": [],
            "corrections": [],
            "infoboxes": [],
            "suggestions": [],
            "unresponsive_engines": [],
        }
    )


async def _page(request: web.Request) -> web.Response:
    article = find(request.match_info["slug"].replace("_", " "))
    if article is None:
        return web.Response(status=404, text="<h1>Not found</h1>", content_type="text/html")
    parts = [f"<h1>{html.escape(article.title)}</h1>", f"<p>{html.escape(article.intro)}</p>"]
    for heading, text in article.sections:
        parts += [f"<h2>{html.escape(heading)}</h2>", f"<p>{html.escape(text)}</p>"]
    parts.append(f"<p><em>{SOURCE}</em></p>")
    title = f"<title>{html.escape(article.title)}</title>"
    page = f"<!DOCTYPE html><html lang='en'><head>{title}</head><body>{''.join(parts)}</body></html>"
    return web.Response(text=page, content_type="text/html")


def _url(request: web.Request, article: Article) -> str:
    return f"http://{request.host}/pages/{quote(article.slug)}"


def _wrong(problem: str) -> web.Response:
    return json_response({"detail": {"error": problem}}, 400)
