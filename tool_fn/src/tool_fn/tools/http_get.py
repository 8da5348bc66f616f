"""http_get: reads a web page or an API's answer."""

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from tool_fn.arguments import Arguments
from tool_fn.means import Means
from tool_fn.tool import Call, Tool, typed_tool
from tool_fn.web.model_headers import checked_headers
from tool_fn.web.report import report

_DESCRIPTION = (
    "Reads one public URL (http or https) and returns its text: web pages as Markdown with their links, JSON and other "
    "text as it is. Use it to read a page that a search found or the user named, or to query a public API. It cannot "
    "reach private networks, sends no cookies and runs no scripts."
)


class HttpGet(Arguments):
    """What to read."""

    url: Annotated[str, Meta(description="The whole URL, with https:// or http://.", max_length=4096)]
    headers: Annotated[dict[str, str], Meta(description="Request headers, such as accept. Usually none.")] = (
        msgspec.field(default_factory=dict)
    )
    start: Annotated[int, Meta(description="For long texts: the character to go on from.", ge=0)] = 0


def build_tools(means: Means) -> Iterable[Tool]:
    async def run(arguments: HttpGet, call: Call) -> str:
        headers = {"accept": "text/html, application/json, text/*;q=0.9, */*;q=0.5"}
        headers |= checked_headers(arguments.headers)
        answer = await means.http.fetch("GET", arguments.url, headers=headers, hosts=call.hosts)
        return await report(answer, arguments.start)

    yield typed_tool(
        name="http_get",
        description=_DESCRIPTION,
        input=HttpGet,
        run=run,
        output_limit_bytes=64 * 1024,
        quotes_strangers=True,
        reaches_out=True,
    )
