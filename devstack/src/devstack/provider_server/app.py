"""The routes of the development provider server.

POST /search                Tavily (any key that begins with tvly-)
GET  /search?format=json    SearXNG
GET  /w/api.php             MediaWiki, also with a language before it: /de/w/api.php
GET  /v1/search /v1/forecast    Open-Meteo's geocoding and forecast
GET  /pages/{title}         the pages that searches find, as HTML
GET POST /notes             keeps what is posted, with its idempotency key, and lists it
GET DELETE /_dev/requests   what was asked; POST DELETE /_dev/faults: see state.Fault
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from devstack.provider_server import mediawiki_api, open_meteo_api, search_api
from devstack.provider_server.state import ABOUT, HEADER, STATE, Fault, State, json_response


def create_app(state: State) -> web.Application:
    """The application."""
    app = web.Application(client_max_size=1024 * 1024, middlewares=[_every])
    app[STATE] = state
    app.router.add_get("/", _about)
    search_api.add_routes(app.router)
    mediawiki_api.add_routes(app.router)
    open_meteo_api.add_routes(app.router)
    app.router.add_get("/notes", _notes)
    app.router.add_post("/notes", _add_note)
    app.router.add_get("/_dev/requests", _requests)
    app.router.add_delete("/_dev/requests", _clear_requests)
    app.router.add_post("/_dev/faults", _add_fault)
    app.router.add_delete("/_dev/faults", _clear_faults)
    return app


@web.middleware
async def _every(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    if request.path.startswith("/_dev/"):
        return await handler(request)
    state = request.app[STATE]
    headers = {name.lower(): value for name, value in request.headers.items()}
    state.asked.append((request.method, request.path_qs, headers))
    fault = state.take_fault(request.path)
    try:
        response = await _struck(request, handler, fault) if fault else await handler(request)
    except web.HTTPException as error:
        response = web.Response(status=error.status, text=error.reason)
    if not response.prepared:
        response.headers[HEADER] = "1"
    return response


async def _struck(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], fault: Fault
) -> web.StreamResponse:
    if fault.delay_ms:
        await asyncio.sleep(fault.delay_ms / 1000)
    if fault.status:
        return web.Response(status=fault.status, body=fault.body.encode(), headers=fault.headers)
    response = await handler(request)
    if not fault.cut or not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return response
    whole, half = response.body, web.StreamResponse(headers={"content-type": response.headers["content-type"]})
    half.content_length = len(whole)
    await half.prepare(request)
    await half.write(whole[: len(whole) // 2])
    assert request.transport is not None
    request.transport.close()
    return half


async def _about(request: web.Request) -> web.Response:
    return web.Response(text=ABOUT + "\n")


async def _notes(request: web.Request) -> web.Response:
    return json_response({"notes": request.app[STATE].notes})


async def _add_note(request: web.Request) -> web.Response:
    notes = request.app[STATE].notes
    raw = await request.read()
    try:
        content = orjson.loads(raw)
    except orjson.JSONDecodeError:
        content = raw.decode("utf-8", "replace")
    notes.append({"id": len(notes) + 1, "content": content, "key": request.headers.get("idempotency-key", "")})
    return json_response({"id": len(notes), "stored": True}, 201)


async def _requests(request: web.Request) -> web.Response:
    shown = [{"method": method, "path": path, "headers": headers} for method, path, headers in request.app[STATE].asked]
    return json_response({"requests": shown})


async def _clear_requests(request: web.Request) -> web.Response:
    request.app[STATE].asked.clear()
    return json_response({"requests": []})


async def _add_fault(request: web.Request) -> web.Response:
    try:
        request.app[STATE].faults.append(Fault.parse(orjson.loads(await request.read())))
    except ValueError as error:
        return json_response({"error": str(error)}, 400)
    return json_response({"waiting": len(request.app[STATE].faults)})


async def _clear_faults(request: web.Request) -> web.Response:
    request.app[STATE].faults.clear()
    return json_response({"waiting": 0})
