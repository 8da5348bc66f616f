"""wikipedia: an article by its title or by words that it holds."""

from collections.abc import Iterable
from typing import Annotated, Final

from msgspec import Meta

from tool_fn.arguments import Arguments
from tool_fn.means import Means
from tool_fn.providers.mediawiki import Article, MediaWiki, Mention
from tool_fn.tool import Call, Tool, ToolError, typed_tool

_MOST_CHOICES: Final = 25
_MOST_HITS: Final = 5
_LENGTH: Final = 20_000
_DESCRIPTION: Final = (
    "Looks something up in Wikipedia and returns the article's introduction or, with full=true, the whole article. "
    "Takes a title (best) or search words. When a name has several meanings it returns the choices: call it again with "
    "one of the titles. Use it for people, places, history, science and other lasting facts, not for news."
)


class Wikipedia(Arguments):
    """What to look up."""

    query: Annotated[str, Meta(description="An article's title or search words.", min_length=1, max_length=300)]
    full: Annotated[bool, Meta(description="The whole article and not only its introduction.")] = False
    language: Annotated[
        str,
        Meta(description="Language code of the Wikipedia to ask, such as en or de.", pattern="^([a-z][a-z-]{1,19})?$"),
    ] = ""
    start: Annotated[int, Meta(description="For long articles: the character to go on from.", ge=0)] = 0


def build_tools(means: Means) -> Iterable[Tool]:
    config = means.config.wikipedia

    async def run(arguments: Wikipedia, call: Call) -> str:
        language = arguments.language or config.language
        if language != config.language and "{language}" not in config.url:
            raise ToolError(f"Only the language {config.language} is configured. Leave language out.")
        wiki = MediaWiki("Wikipedia", means.http, config.url.replace("{language}", language))
        article = await wiki.article(arguments.query, whole=arguments.full)
        others: list[Mention] = []
        if article is None:
            found = await wiki.search(arguments.query, _MOST_HITS)
            if not found.pages:
                hint = f" Did you mean {found.suggestion!r}?" if found.suggestion else " Try other or fewer words."
                return f"Wikipedia ({language}) has no article on {arguments.query!r}.{hint}"
            article, others = await wiki.article(found.pages[0].title, whole=arguments.full), found.pages[1:]
        if article is None:
            return "These articles fit:\n" + _list(found.pages)
        if article.is_choice:
            return await _choices(wiki, article)
        return _told(article, others, arguments.start)

    yield typed_tool(
        name="wikipedia",
        description=_DESCRIPTION,
        input=Wikipedia,
        run=run,
        output_limit_bytes=64 * 1024,
        quotes_strangers=True,
    )


async def _choices(wiki: MediaWiki, article: Article) -> str:
    choices = await wiki.choices(article, _MOST_CHOICES)
    if not choices:
        return f"{article.title!r} has several meanings:\n{article.text[:_LENGTH]}"
    return f"{article.title!r} has several meanings. Call again with the title that is meant:\n" + _list(choices)


def _told(article: Article, others: list[Mention], start: int) -> str:
    if start and start >= len(article.text):
        raise ToolError(f"The text has only {len(article.text)} characters.")
    part = article.text[start : start + _LENGTH]
    text = f"{article.title}\n{article.url}\n\n{part or 'This article has no text.'}"
    left = len(article.text) - start - len(part)
    if left:
        text += f"\n\n[{left} more characters; go on with start={start + len(part)}]"
    if others:
        text += "\n\nOther articles that fit:\n" + _list(others)
    return text


def _list(mentions: list[Mention]) -> str:
    return "\n".join(f"- {page.title}" + (f": {page.text}" if page.text else "") for page in mentions)
