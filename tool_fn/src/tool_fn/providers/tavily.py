"""Tavily's search: POST /search with a bearer key (https://docs.tavily.com/documentation/api-reference)."""

from typing import Any

import msgspec

from tool_fn.providers.found import Found, Hit, SearchQuery
from tool_fn.providers.provider import Provider
from tool_fn.web import WebClient


class _Result(msgspec.Struct):
    url: str
    title: str | None = None
    content: str | None = None
    published_date: str | None = None


class _Answer(msgspec.Struct):
    results: list[_Result]
    answer: str | None = None


class Tavily:
    """key_variable: where the key comes from, for sentences."""

    name = "Tavily"

    def __init__(self, web: WebClient, url: str, key: str, key_variable: str) -> None:
        self._provider = Provider(self.name, web, key_variable)
        self._url = url.rstrip("/") + "/search"
        self._key = key

    async def search(self, query: SearchQuery) -> Found:
        """Raises ToolError."""
        body: dict[str, Any] = {
            "query": query.text,
            "max_results": query.most,
            "search_depth": "basic",
            "topic": "news" if query.news else "general",
        }
        if query.period:
            body["time_range"] = query.period
        answer = await self._provider.post(self._url, body, _Answer, headers={"authorization": f"Bearer {self._key}"})
        hits = [
            Hit(hit.title or hit.url, hit.url, hit.content or "", hit.published_date or "") for hit in answer.results
        ]
        return Found(hits, [answer.answer] if answer.answer else [])
