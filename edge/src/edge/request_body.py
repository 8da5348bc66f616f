"""Reads JSON bodies: size, media type, syntax and schema, with errors that name the offending field."""

import re
from typing import Any, Final, TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from .errors import ApiError, invalid_argument

Body = TypeVar("Body", bound=BaseModel)

_JSON: Final = re.compile(r"application/([\w.!#$&^-]+\+)?json\s*(;.*)?", re.IGNORECASE)
_MESSAGE_LIMIT: Final = 500


async def read_json(request: Request, model: type[Body], *, default: Body | None = None) -> Body:
    """The body as `model`, or `default` where there is none.

    Raises ApiError 400 or 415. A body without a media type is taken for JSON.
    """
    media_type = request.headers.get("content-type")
    if media_type is not None and _JSON.fullmatch(media_type.strip()) is None:
        raise ApiError(
            415,
            "The body must be JSON: send it with the header `content-type: application/json`.",
            code="unsupported_media_type",
        )
    try:
        raw = await request.body()
    except ClientDisconnect:
        raise invalid_argument("The body ended before it was complete.") from None
    if not raw and default is not None:
        return default
    if not raw:
        raise invalid_argument("The body is empty; a JSON object was expected.")
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise _refusal(raw, error) from None


def _refusal(raw: bytes, error: ValidationError) -> ApiError:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    if problems[0]["type"] == "json_invalid":
        return invalid_argument(f"The body is not valid JSON: {problems[0]['msg'].removeprefix('Invalid JSON: ')}.")
    document = _parse(raw)
    # A union reports every branch that did not fit; the branch that got furthest is the one that was meant.
    located = [
        (_locate(document, problem["loc"]), problem["msg"].removeprefix("Value error, ")) for problem in problems
    ]
    param = max((path for path, _ in located), key=lambda path: (path.count(".") + path.count("["), len(path)))
    first = located[0][0]
    if not first.startswith(param) and not param.startswith(first):
        param = first
    said = dict.fromkeys(message for path, message in located if path == param)
    text = " or ".join(said)[:_MESSAGE_LIMIT]
    return invalid_argument(
        f"Invalid value for `{param}`: {text}." if param else f"Invalid body: {text}.", param or None
    )


def _parse(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None  # pydantic takes NaN and enormous numbers, orjson does not: the error then names no field


def _locate(document: Any, loc: tuple[int | str, ...]) -> str:
    """A path such as `messages[0].content`; the names of union branches, which pydantic mixes in, are left out."""
    path, here = "", document
    for index, part in enumerate(loc):
        if isinstance(part, int):
            path += f"[{part}]"
            here = here[part] if isinstance(here, list) and part < len(here) else None
        elif isinstance(here, dict) and part in here:
            path += f".{part}"
            here = here[part]
        elif isinstance(here, dict) and index == len(loc) - 1:
            path += f".{part}"  # what is missing
    return path.removeprefix(".")
