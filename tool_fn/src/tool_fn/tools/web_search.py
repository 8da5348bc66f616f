"""web_search: asks Tavily or SearXNG, whichever the operator has configured."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from msgspec import Meta

from tool_fn.arguments import Arguments
from tool_fn.means import Means
from tool_fn.providers.found import Found, SearchEngine, SearchQuery
from tool_fn.providers.searxng import Searxng
from tool_fn.providers.tavily import Tavily
from tool_fn.tool import Call, Tool, ToolError, typed_tool

_LONGEST_TEXT: Final = 1000
_DESCRIPTION: Final = (
    "Searches the web and returns the best pages with title, URL and a passage of each. Use it for recent events, for "
    "facts that you are not sure of, and to find pages; read a page with http_get. Cite the URLs you rely on."
)


class WebSearch(Arguments):
    """What to look for."""

    query: Annotated[str, Meta(description="Search words or a question.", min_length=1, max_length=400)]
    max_results: Annotated[int, Meta(description="How many pages.", ge=1, le=10)] = 5
    period: Annotated[
        Literal["any", "day", "week", "month", "year"],
        Meta(description="Only pages published in the last day and so on."),
    ] = "any"
    topic: Annotated[Literal["general", "news"], Meta(description="All of the web, or newspapers.")] = "general"


def build_tools(means: Means) -> Iterable[Tool]:
    engine = _engine(means)

    async def run(arguments: WebSearch, call: Call) -> str:
        if engine is None:
            variable = means.config.search.tavily_key_env
            raise ToolError(
                "Web search is not possible: no provider is configured. Answer without it and say so. "
                f"The operator can set {f'the variable {variable} (Tavily)' if variable else 'search.tavily_key_env'} "
                "or search.searxng_url in the tools' configuration."
            )
        period = "" if arguments.period == "any" else arguments.period
        query = SearchQuery(arguments.query, arguments.max_results, period, arguments.topic == "news")
        return _told(query, await engine.search(query))

    yield typed_tool(name="web_search", description=_DESCRIPTION, input=WebSearch, run=run, quotes_strangers=True)


def _engine(means: Means) -> SearchEngine | None:
    search = means.config.search
    key = means.secrets.get(search.tavily_key_env)
    if key:
        return Tavily(means.http, search.tavily_url, key, search.tavily_key_env)
    return Searxng(means.http, search.searxng_url) if search.searxng_url else None


def _told(query: SearchQuery, found: Found) -> str:
    if not found.hits and not found.facts:
        return f"Nothing was found for {query.text!r}. Try other or fewer words."
    parts = [f"Direct answer: {fact}" for fact in found.facts]
    for number, hit in enumerate(found.hits[: query.most], 1):
        text = " ".join(hit.text.split())
        if len(text) > _LONGEST_TEXT:
            text = text[:_LONGEST_TEXT].rsplit(" ", 1)[0] + " …"
        date = f" ({hit.date})" if hit.date else ""
        parts.append(f"{number}. {' '.join(hit.title.split())}{date}\n{hit.url}\n{text}".rstrip())
    return "\n\n".join(parts)
