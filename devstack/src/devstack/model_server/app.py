"""The routes of the development model server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import orjson
from aiohttp import web

from devstack.model_server import control, embeddings_api, models_api, system_one
from devstack.model_server.answering import serve_answer
from devstack.model_server.bodies import json_response, read_object
from devstack.model_server.calls import Call
from devstack.model_server.catalog import Model
from devstack.model_server.errors import BadRequestError, ModelServerError
from devstack.model_server.frames import timestamp
from devstack.model_server.journal import DONE, FAILED, Entry
from devstack.model_server.state import STATE, State

MAX_BODY_BYTES = 64 * 1024 * 1024


def create_app(state: State) -> web.Application:
    """The application; it must be served with handler cancellation on, or nobody notices that a client left."""
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_errors])
    app[STATE] = state
    app.router.add_post("/api/chat", _chat)
    app.router.add_post("/api/generate", _generate)
    embeddings_api.add_routes(app.router)
    system_one.add_routes(app.router)
    models_api.add_routes(app.router)
    control.add_routes(app.router)
    return app


@web.middleware
async def _errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except ModelServerError as error:
        return json_response({"error": error.message}, error.status)
    except web.HTTPException as error:
        return json_response({"error": error.reason.lower()}, error.status)


async def _chat(request: web.Request) -> web.StreamResponse:
    return await _answered(request, "chat", Call.of_chat)


async def _generate(request: web.Request) -> web.StreamResponse:
    return await _answered(request, "generate", Call.of_generate)


async def _answered(request: web.Request, endpoint: str, parse: Callable[[dict[str, Any]], Call]) -> web.StreamResponse:
    state = request.app[STATE]
    body = await read_object(request)
    entry = state.journal.open(endpoint, body, request.headers)
    try:
        call = parse(body)
        model = state.catalog.get(call.model)
        entry.model = model.name
        if call.think is None:
            call = replace(call, think=state.simulation.think > 0 and "thinking" in model.capabilities)
        _check(model, call)
    except ModelServerError as error:
        state.journal.enter(entry, FAILED, error.message)
        raise
    if not call.turns:
        return await _load_only(state, model, call, entry)
    return await serve_answer(state, request, model, call, entry)


def _check(model: Model, call: Call) -> None:
    short = model.name.removesuffix(":latest")
    if not model.can_complete:
        raise BadRequestError(f'"{short}" does not support {"chat" if call.chat else "generate"}')
    if call.tools and "tools" not in model.capabilities:
        raise BadRequestError(f"registry.ollama.ai/library/{short} does not support tools")
    if call.think and "thinking" not in model.capabilities:
        raise BadRequestError(f'"{short}" does not support thinking')
    if any(turn.images for turn in call.turns) and "vision" not in model.capabilities:
        raise BadRequestError(f'"{short}" does not support images')


async def _load_only(state: State, model: Model, call: Call, entry: Entry) -> web.Response:
    reason = "load"
    if call.keep_alive_s == 0:
        state.gpu.unload(model.name)
        reason = "unload"
    else:
        await state.gpu.load(model.name, call.num_ctx)
        state.gpu.keep(model.name, call.keep_alive_s)
    state.journal.enter(entry, DONE, reason)
    said: dict[str, Any] = {"message": {"role": "assistant", "content": ""}} if call.chat else {"response": ""}
    body = {"model": call.model, "created_at": timestamp(), **said, "done": True, "done_reason": reason}
    kind = "application/x-ndjson" if call.stream else "application/json"
    return web.Response(body=orjson.dumps(body) + b"\n", content_type=kind)
