"""Endpoints about models: list, describe, load state, pull, copy, delete, create."""

from __future__ import annotations

import datetime
from typing import Any

from aiohttp import web

from devstack.model_server.bodies import json_response, read_object
from devstack.model_server.calls import model_name
from devstack.model_server.settings import ABOUT
from devstack.model_server.state import STATE

VERSION = "0.40.12-dormouse-dev"
_FAR_FUTURE = datetime.datetime(2318, 1, 1, tzinfo=datetime.UTC)


def add_routes(router: web.UrlDispatcher) -> None:
    """Register these endpoints."""
    router.add_get("/", _alive)
    router.add_get("/api/version", _version)
    router.add_get("/api/tags", _tags)
    router.add_post("/api/show", _show)
    router.add_get("/api/ps", _ps)


async def _alive(request: web.Request) -> web.Response:
    return web.Response(text=f"Ollama is running. More exactly: Dormouse's development model server. {ABOUT}")


async def _version(request: web.Request) -> web.Response:
    return json_response({"version": VERSION})


async def _tags(request: web.Request) -> web.Response:
    return json_response({"models": request.app[STATE].catalog.tags()})


async def _show(request: web.Request) -> web.Response:
    return json_response(request.app[STATE].catalog.shown(model_name(await read_object(request))))


async def _ps(request: web.Request) -> web.Response:
    state = request.app[STATE]
    models: list[dict[str, Any]] = []
    for name, loaded in state.gpu.loaded.items():
        model = state.catalog.get(name)
        forever = loaded.expires_at == float("inf")
        expires = _FAR_FUTURE if forever else datetime.datetime.fromtimestamp(loaded.expires_at, datetime.UTC)
        models.append(
            {
                "name": name,
                "model": name,
                "size": model.size,
                "digest": model.digest,
                "details": model.details(),
                "expires_at": expires.isoformat().replace("+00:00", "Z"),
                "size_vram": 0,
                "context_length": loaded.num_ctx,
            }
        )
    return json_response({"models": models})
