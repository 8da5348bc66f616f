"""Endpoints about models: list, describe, load state, pull, copy, delete, create."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import orjson
from aiohttp import web

from devstack.model_server.bodies import json_response, read_object
from devstack.model_server.calls import model_name
from devstack.model_server.errors import BadRequestError, NotImplementedHereError
from devstack.model_server.settings import ABOUT
from devstack.model_server.state import STATE

VERSION = "0.40.12-dormouse-dev"
PULL_STEPS = 8
_FAR_FUTURE = datetime.datetime(2318, 1, 1, tzinfo=datetime.UTC)


def add_routes(router: web.UrlDispatcher) -> None:
    """Register these endpoints."""
    router.add_get("/", _alive)
    router.add_get("/api/version", _version)
    router.add_get("/api/tags", _tags)
    router.add_post("/api/show", _show)
    router.add_get("/api/ps", _ps)
    router.add_post("/api/pull", _pull)
    router.add_post("/api/push", _push)
    router.add_post("/api/copy", _copy)
    router.add_delete("/api/delete", _delete)
    router.add_post("/api/create", _create)
    router.add_post("/api/blobs/{digest}", _blob)


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


async def _pull(request: web.Request) -> web.StreamResponse:
    """Install a built-in model again, with progress. There is no registry behind this server."""
    state = request.app[STATE]
    body = await read_object(request)
    model = state.catalog.pull(model_name(body))
    total = model.size
    layer: dict[str, Any] = {
        "status": f"pulling {model.digest[:12]}",
        "digest": f"sha256:{model.digest}",
        "total": total,
    }
    lines: list[dict[str, Any]] = [{"status": "pulling manifest"}, layer]
    lines += [{**layer, "completed": total * step // PULL_STEPS} for step in range(1, PULL_STEPS + 1)]
    lines += [{"status": text} for text in ("verifying sha256 digest", "writing manifest", "success")]
    return await _progress(request, body, lines, state.simulation.pull_ms / 1000)


async def _progress(
    request: web.Request, body: dict[str, Any], lines: list[dict[str, Any]], seconds: float
) -> web.StreamResponse:
    if body.get("stream") is False:
        await asyncio.sleep(seconds)
        return json_response(lines[-1])
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    for line in lines:
        await response.write(orjson.dumps(line) + b"\n")
        await asyncio.sleep(seconds / len(lines))
    return response


async def _push(request: web.Request) -> web.Response:
    request.app[STATE].catalog.get(model_name(await read_object(request)))
    raise NotImplementedHereError("the development model server has no registry to push to")


async def _copy(request: web.Request) -> web.Response:
    body = await read_object(request)
    source, destination = body.get("source"), body.get("destination")
    if not isinstance(source, str) or not isinstance(destination, str) or not source or not destination:
        raise BadRequestError("source and destination are required")
    request.app[STATE].catalog.copy(source, destination)
    return web.Response()


async def _delete(request: web.Request) -> web.Response:
    state = request.app[STATE]
    name = state.catalog.get(model_name(await read_object(request))).name
    state.catalog.delete(name)
    state.gpu.unload(name)
    return web.Response()


async def _create(request: web.Request) -> web.StreamResponse:
    """`from` an installed model makes a copy of it; weights, adapters and quantization are refused."""
    state = request.app[STATE]
    body = await read_object(request)
    name = model_name(body)
    for field in ("files", "adapters", "quantize"):
        if body.get(field):
            raise BadRequestError(f"{field}: the development model server has no weights to work on")
    source = body.get("from")
    if not isinstance(source, str) or not source:
        raise BadRequestError("neither 'from' or 'files' was specified")
    state.catalog.copy(source, name)
    return await _progress(request, body, [{"status": "writing manifest"}, {"status": "success"}], 0)


async def _blob(request: web.Request) -> web.Response:
    raise NotImplementedHereError("the development model server stores no blobs: it has no use for weights")
