"""Endpoints for embeddings: /api/embed and the older /api/embeddings."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiohttp import web

from devstack.model_server.bodies import json_response, read_object
from devstack.model_server.calls import keep_alive, model_name
from devstack.model_server.catalog import CONTEXT_LENGTH, DEFAULT_NUM_CTX, EMBEDDING_LENGTH
from devstack.model_server.embedding import embed
from devstack.model_server.errors import BadRequestError, ModelServerError, RunnerError, ServerBusyError
from devstack.model_server.journal import ABORTED, DONE, FAILED, LOADING, STREAMING, Entry
from devstack.model_server.state import STATE, State
from devstack.model_server.tokens import count_tokens


def add_routes(router: web.UrlDispatcher) -> None:
    """Register these endpoints."""
    router.add_post("/api/embed", _embed)
    router.add_post("/api/embeddings", _embeddings)


async def _embed(request: web.Request) -> web.Response:
    began = time.monotonic()
    body = await read_object(request)
    texts = body.get("input")
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BadRequestError("invalid input type")
    dimensions = body.get("dimensions") or EMBEDDING_LENGTH
    if isinstance(dimensions, bool) or not isinstance(dimensions, int) or not 0 < dimensions <= EMBEDDING_LENGTH:
        raise BadRequestError(f"dimensions wants an integer from 1 to {EMBEDDING_LENGTH}")
    counts = [count_tokens(text) for text in texts]
    if body.get("truncate") is False and any(count > CONTEXT_LENGTH for count in counts):
        raise BadRequestError("the input length exceeds the context length")
    load_s = await _prepared(request, body, "embed")
    answer: dict[str, Any] = {
        "model": model_name(body),
        "embeddings": [embed(text, dimensions) for text in texts],
        "total_duration": int((time.monotonic() - began) * 1e9),
        "load_duration": int(load_s * 1e9),
        "prompt_eval_count": sum(counts),
    }
    return json_response(answer)


async def _embeddings(request: web.Request) -> web.Response:
    body = await read_object(request)
    prompt = body.get("prompt") or ""
    if not isinstance(prompt, str):
        raise BadRequestError("invalid prompt type")
    await _prepared(request, body, "embed")
    return json_response({"embedding": embed(prompt) if prompt else []})


async def _prepared(request: web.Request, body: dict[str, Any], endpoint: str) -> float:
    """Log the request, load the model, take the simulated time and fault; returns the seconds of the load."""
    state = request.app[STATE]
    entry = state.journal.open(endpoint, body, request.headers)
    try:
        load_s = await _simulated(state, entry, body)
    except asyncio.CancelledError:
        state.journal.enter(entry, ABORTED, "server stopped" if state.stopping else "client left")
        raise
    except ModelServerError as error:
        state.journal.enter(entry, FAILED, error.message)
        raise
    state.journal.enter(entry, DONE)
    return load_s


async def _simulated(state: State, entry: Entry, body: dict[str, Any]) -> float:
    model = state.catalog.get(model_name(body))
    entry.model = model.name
    if "embedding" not in model.capabilities:
        raise BadRequestError(f'"{model.name.removesuffix(":latest")}" does not support embeddings')
    fault = state.faults.take(entry.endpoint, model.name)
    entry.fault = fault.kind if fault else ""
    if fault and fault.kind == "busy":
        raise ServerBusyError
    state.journal.enter(entry, LOADING)
    load_s = await state.gpu.load(model.name, DEFAULT_NUM_CTX)
    state.gpu.keep(model.name, keep_alive(body.get("keep_alive")))
    state.journal.enter(entry, STREAMING)
    if fault and fault.kind == "hang":
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(state.simulation.embed_ms / 1000 * (fault.factor if fault and fault.kind == "slow" else 1))
    if fault and fault.kind != "slow":
        raise RunnerError(f"simulated failure of the model runner ({fault.kind})")
    return load_s
