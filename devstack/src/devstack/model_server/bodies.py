"""Reads JSON bodies and writes JSON answers."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from devstack.model_server.errors import BadRequestError


async def read_object(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object, whatever its content type says, as Ollama reads it. Raises BadRequestError."""
    data = await request.read()
    if not data:
        raise BadRequestError("missing request body")
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"invalid JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRequestError("the body must be a JSON object")
    return body


def json_response(body: object, status: int = 200) -> web.Response:
    """`body` as JSON."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json", charset="utf-8")
