"""What a model is told of an answer."""

from http import HTTPStatus

from tool_fn.tool import ToolError
from tool_fn.web.client import Answer
from tool_fn.web.content import media_type, readable
from tool_fn.web.errors import FetchError

_OF_AN_ERROR = 2000


async def report(answer: Answer, start: int = 0, length: int = 20_000) -> str:
    """A line on the answer and its text from character `start` on. Raises ToolError for a status of 400 and above."""
    kind, _ = media_type(answer.header("content-type"))
    status = f"{answer.status} {_phrase(answer.status)}".strip()
    if answer.status >= 400:
        raise ToolError(f"{answer.url} answered {status}.{await _excerpt(answer)}")
    text = await readable(answer)
    if start and start >= len(text):
        raise ToolError(f"The text of {answer.url} has only {len(text)} characters.")
    part = text[start : start + length]
    head = f"{answer.url} ({status}{', ' + kind if kind else ''})"
    if not text:
        return f"{head}\n\nThe answer is empty."
    end = start + len(part)
    rest = f"\n\n[{len(text) - end} more characters; go on with start={end}]" if end < len(text) else ""
    cut = "\n\n[the answer is longer than may be read and was cut here]" if answer.is_cut and not rest else ""
    return f"{head}\n\n{part}{rest}{cut}"


async def _excerpt(answer: Answer) -> str:
    try:
        text = (await readable(answer)).strip()
    except FetchError:
        return ""
    return f" It says: {text[:_OF_AN_ERROR]}" if text else ""


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
