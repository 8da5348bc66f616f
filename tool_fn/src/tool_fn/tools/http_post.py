"""http_post: sends something to a web address. A person approves each call."""

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tool_fn.arguments import Arguments
from tool_fn.means import Means
from tool_fn.tool import Call, OutcomeUnknownError, Tool, ToolError, typed_tool
from tool_fn.web import FetchError
from tool_fn.web.model_headers import checked_headers
from tool_fn.web.report import report

_LONGEST = 256 * 1024
_DESCRIPTION = (
    "Sends a POST request with a JSON or text body to a public URL and returns the answer's text. It changes something "
    "on the other side, so use it only when the user asked for that; a person is asked before it is sent."
)


class HttpPost(Arguments):
    """What to send, and where."""

    url: Annotated[str, Meta(description="The whole URL, with https:// or http://.", max_length=4096)]
    json: Annotated[Any, Meta(description="The body as JSON (any value). Either this or text.")] = msgspec.UNSET
    text: Annotated[str | msgspec.UnsetType, Meta(description="The body as plain text, in place of json.")] = (
        msgspec.UNSET
    )
    headers: Annotated[
        dict[str, str], Meta(description="Request headers, such as content-type or authorization. Usually none.")
    ] = msgspec.field(default_factory=dict)


def build_tools(means: Means) -> Iterable[Tool]:
    async def run(arguments: HttpPost, call: Call) -> str:
        body, kind = _body(arguments)
        headers = {"accept": "application/json, text/*;q=0.9, */*;q=0.5", "content-type": kind}
        headers |= checked_headers(arguments.headers)
        headers["idempotency-key"] = call.idempotency_key
        try:
            answer = await means.http.fetch("POST", arguments.url, headers=headers, body=body, hosts=call.hosts)
        except FetchError as error:
            if not error.is_sent:
                raise
            raise OutcomeUnknownError(
                f"{error} The request was sent: it may or may not have had its effect. "
                "Find out before you send it again."
            ) from error
        return await report(answer)

    yield typed_tool(
        name="http_post",
        description=_DESCRIPTION,
        input=HttpPost,
        run=run,
        has_side_effects=True,
        needs_approval=True,
        quotes_strangers=True,
        reaches_out=True,
    )


def _body(arguments: HttpPost) -> tuple[bytes, str]:
    if (arguments.json is msgspec.UNSET) == isinstance(arguments.text, msgspec.UnsetType):
        raise ToolError("Give the body either as json or as text.")
    if isinstance(arguments.text, str):
        body, kind = arguments.text.encode(), "text/plain; charset=utf-8"
    else:
        body, kind = msgspec.json.encode(arguments.json), "application/json"
    if len(body) > _LONGEST:
        raise ToolError(f"The body is longer than {_LONGEST // 1024} KB.")
    return body, kind
