"""MediaWiki's action API with TextExtracts, as Wikipedia has them (https://www.mediawiki.org/wiki/API:Query)."""

import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tool_fn.providers.provider import Provider
from tool_fn.tool import ToolError
from tool_fn.web import WebClient
from tool_fn.web.html_text import html_to_text

# Characters that no title has; with one of them the API would take the text for something else.
_NO_TITLE: Final = re.compile(r"[\[\]{}|#<>\n\t]")
_LONGEST_TITLE: Final = 255


class _Page(msgspec.Struct):
    title: str
    missing: bool = False
    invalid: bool = False
    extract: str = ""
    description: str = ""
    fullurl: str = ""
    pageprops: dict[str, Any] = {}


class _Hit(msgspec.Struct):
    title: str
    snippet: str = ""


class _SearchInfo(msgspec.Struct):
    suggestion: str = ""


class _Query(msgspec.Struct):
    pages: list[_Page] = []
    search: list[_Hit] = []
    searchinfo: _SearchInfo = msgspec.field(default_factory=_SearchInfo)


class _Error(msgspec.Struct):
    code: str = ""
    info: str = ""


class _Answer(msgspec.Struct):
    query: _Query = msgspec.field(default_factory=_Query)
    error: _Error | None = None


@dataclass(frozen=True, slots=True)
class Article:
    """A page. text: its beginning or all of it, sections under `== headings ==`. is_choice: it lists what a title
    may mean."""

    title: str
    text: str
    url: str
    is_choice: bool = False


@dataclass(frozen=True, slots=True)
class Mention:
    """A page that a search found, or that a title may mean, with a few words on it."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Mentions:
    """The best page first. suggestion: other words to search for; "" for none."""

    pages: list[Mention]
    suggestion: str = ""


class MediaWiki:
    """One wiki. url: of its api.php."""

    def __init__(self, name: str, web: WebClient, url: str) -> None:
        self._provider = Provider(name, web)
        self._url = url

    async def article(self, title: str, *, whole: bool = False) -> Article | None:
        """The page of this title, redirects followed; None: there is none. Raises ToolError."""
        if not title.strip() or len(title.encode()) > _LONGEST_TITLE or _NO_TITLE.search(title):
            return None
        query = await self._query(
            prop="extracts|pageprops|info",
            titles=title,
            redirects="1",
            explaintext="1",
            exsectionformat="wiki",
            inprop="url",
            ppprop="disambiguation",
            **({} if whole else {"exintro": "1"}),
        )
        page = next((page for page in query.pages if not page.missing and not page.invalid), None)
        if page is None:
            return None
        return Article(page.title, page.extract.strip(), page.fullurl, "disambiguation" in page.pageprops)

    async def search(self, words: str, most: int) -> Mentions:
        """Pages that hold the words. Raises ToolError."""
        query = await self._query(list="search", srsearch=words, srlimit=str(most), srprop="snippet")
        pages = [Mention(hit.title, html_to_text(hit.snippet)) for hit in query.search]
        return Mentions(pages, query.searchinfo.suggestion)

    async def choices(self, choice: Article, most: int) -> list[Mention]:
        """The pages that a page of choices leads to, in its order. Raises ToolError."""
        query = await self._query(
            generator="links", titles=choice.title, gplnamespace="0", gpllimit="max", prop="description"
        )
        existing = [page for page in query.pages if not page.missing]
        # The API sorts links by name; what the page names first is what people mean most.
        folded = choice.text.casefold()
        places = {page.title: folded.find(page.title.casefold()) for page in existing}
        existing.sort(key=lambda page: (places[page.title] < 0, places[page.title]))
        return [Mention(page.title, page.description) for page in existing[:most]]

    async def _query(self, **params: str) -> _Query:
        fixed = {"action": "query", "format": "json", "formatversion": "2", "utf8": "1"}
        answer = await self._provider.get(self._url, {**fixed, **params}, _Answer)
        if answer.error is None:
            return answer.query
        if answer.error.code in ("maxlag", "ratelimited", "readonly"):
            raise ToolError(f"{self._provider.name} is too busy. Try again later.")
        says = " ".join(answer.error.info.split())[:300]
        raise ToolError(f"{self._provider.name} does not accept this request. It says: {says}")
