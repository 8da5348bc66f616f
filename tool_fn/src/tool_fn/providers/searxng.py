"""SearXNG's search: GET /search?format=json (https://docs.searxng.org/dev/search_api.html)."""

from typing import Any

import msgspec

from tool_fn.providers.found import Found, Hit, SearchQuery
from tool_fn.providers.provider import Provider
from tool_fn.tool import ToolError
from tool_fn.web import WebClient


class _Result(msgspec.Struct):
    url: str | None = None
    title: str | None = None
    content: str | None = None
    published_date: str | None = msgspec.field(default=None, name="publishedDate")


class _Infobox(msgspec.Struct):
    infobox: str | None = None
    content: str | None = None


class _Answer(msgspec.Struct):
    results: list[_Result]
    # Texts in older versions, objects in newer ones.
    answers: list[Any] = []
    infoboxes: list[_Infobox] = []
    unresponsive_engines: list[Any] = []


class Searxng:
    """An instance that gives JSON: settings.yml has `search: {formats: [html, json]}`."""

    name = "SearXNG"

    def __init__(self, web: WebClient, url: str) -> None:
        self._provider = _Instance(self.name, web)
        self._url = url.rstrip("/") + "/search"

    async def search(self, query: SearchQuery) -> Found:
        """Raises ToolError, also when no engine answered."""
        params = {"q": query.text, "format": "json", "categories": "news" if query.news else "general"}
        if query.period:
            params["time_range"] = query.period
        answer = await self._provider.get(self._url, params, _Answer)
        hits = [
            Hit(hit.title or hit.url, hit.url, hit.content or "", (hit.published_date or "")[:10])
            for hit in answer.results
            if hit.url
        ]
        facts = [text for entry in answer.answers if (text := _text(entry))]
        facts += [f"{box.infobox}: {box.content}" for box in answer.infoboxes if box.infobox and box.content]
        if not hits and not facts and answer.unresponsive_engines:
            engines = ", ".join(sorted({_engine(entry) for entry in answer.unresponsive_engines}))
            raise ToolError(f"No search engine behind SearXNG answered ({engines[:200]}). Try again later.")
        return Found(hits[: query.most], facts[:3])


class _Instance(Provider):
    def _refusal(self, answer: Any) -> str:
        if answer.status == 403:
            return (
                "SearXNG refuses JSON (HTTP 403). The operator has to add `json` to `search.formats` "
                "in its settings.yml; do not try again."
            )
        return super()._refusal(answer)


def _text(entry: Any) -> str:
    found = entry.get("answer") if isinstance(entry, dict) else entry
    return found if isinstance(found, str) else ""


def _engine(entry: Any) -> str:
    return str(entry[0] if isinstance(entry, list) and entry else entry)
