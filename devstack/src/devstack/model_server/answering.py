"""Serves one answer: waits for a slot, loads the model, plays the tokens, and notices a client that leaves."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import orjson
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from devstack.model_server.calls import Call
from devstack.model_server.catalog import Model
from devstack.model_server.errors import ModelServerError, RunnerError, ServerBusyError
from devstack.model_server.faults import Fault
from devstack.model_server.frames import Shape
from devstack.model_server.journal import ABORTED, DONE, FAILED, LOADING, PREFILLING, Entry
from devstack.model_server.model import answer, prompt_tokens
from devstack.model_server.playback import Playback, reset
from devstack.model_server.state import State


class WrittenResponse(web.StreamResponse):
    """A response whose bytes, head included, already went to the transport."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Nothing left to write; the connection stays for the next request if the client wants that."""
        self._keep_alive = request.keep_alive
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing left to write."""


async def serve_answer(
    state: State, request: web.Request, model: Model, call: Call, entry: Entry
) -> web.StreamResponse:
    """Answer `call`. The entry ends as done, failed (a fault, an error) or aborted (the client left)."""
    fault = state.faults.take(entry.endpoint, model.name)
    with _recorded(state, entry, fault):
        if fault and fault.kind == "busy":
            raise ServerBusyError
        async with state.gpu.slot(model.name):
            return await _generate(state, request, model, call, entry, fault)


@contextlib.contextmanager
def _recorded(state: State, entry: Entry, fault: Fault | None) -> Iterator[None]:
    entry.fault = fault.kind if fault else ""
    try:
        yield
    except asyncio.CancelledError:
        # A fault that closed the connection cancels the handler too; it has recorded its end already.
        state.journal.enter(entry, ABORTED, "client left" if not state.stopping else "server stopped")
        raise
    except ModelServerError as error:
        state.journal.enter(entry, FAILED, error.message)
        raise


async def _generate(
    state: State, request: web.Request, model: Model, call: Call, entry: Entry, fault: Fault | None
) -> web.StreamResponse:
    began = time.monotonic()
    state.journal.enter(entry, LOADING)
    load_s = await state.gpu.load(model.name, call.num_ctx)
    state.gpu.keep(model.name, float("inf"))
    first = time.monotonic() + state.simulation.ttft_ms / 1000
    try:
        simulation = state.simulation
        state.journal.enter(entry, PREFILLING)
        said = answer(model, call, simulation.tokens, state.script.take(model.name, call))
        shape = Shape(call.model, call.chat)
        frames = shape.frames(said)
        entry.tokens = frames.tokens
        entry.prompt_tokens = prompt_tokens(call)
        transport = request.transport
        if transport is None:
            raise asyncio.CancelledError
        if fault and fault.kind == "error" and fault.at_token == 0:
            raise RunnerError("simulated failure of the model runner")

        def closing() -> dict[str, Any]:
            now = time.monotonic()
            return {
                "done_reason": "length" if said.length else "stop",
                "total_duration": int((now - began) * 1e9),
                "load_duration": int(load_s * 1e9),
                "prompt_eval_count": entry.prompt_tokens,
                "prompt_eval_duration": int(simulation.ttft_ms * 1e6),
                "eval_count": entry.tokens_sent,
                "eval_duration": max(0, int((now - first) * 1e9)),
            }

        playback = Playback(
            frames,
            transport=transport if call.stream else None,
            closing=lambda: shape.last(closing()),
            interval_s=simulation.token_ms / 1000,
            entry=entry,
            journal=state.journal,
            fault=fault,
        )
        state.wheel.add(playback.start(first), playback)
        try:
            complete = await playback.done
        finally:
            playback.stop()
        if not complete:
            return _broken(transport, fault, streamed=call.stream)
        state.journal.enter(entry, DONE, "length" if said.length else "stop")
        if call.stream:
            return WrittenResponse()
        return web.Response(body=orjson.dumps(shape.whole(said, closing())), content_type="application/json")
    finally:
        state.gpu.keep(model.name, call.keep_alive_s)


def _broken(transport: asyncio.Transport, fault: Fault | None, *, streamed: bool) -> web.StreamResponse:
    if streamed:
        return WrittenResponse()
    if fault and fault.kind == "reset":
        reset(transport)
    elif fault and fault.kind == "error":
        raise RunnerError("simulated failure of the model runner")
    elif fault and fault.kind in ("malformed", "truncate"):
        return web.Response(body=b'{"model":"broken","message":{"role":"assis', content_type="application/json")
    else:
        transport.close()
    return WrittenResponse()
