"""The control API of the simulation, under /_sim: knobs, faults, and the log of requests.

GET PUT /_sim/config        the knobs of settings.Simulation; PUT changes those it names
GET DELETE /_sim/faults     what is waiting to strike
PUT POST /_sim/faults       replace or add: one fault or {"faults": [...]}; its fields and kinds are in faults.py
GET DELETE /_sim/script     the answers that are waiting to be given instead of the model's own
PUT POST /_sim/script       replace or add: one line or {"lines": [...]}; its fields are in script.py
GET DELETE /_sim/requests   the log, oldest first; query: state (several with commas), endpoint, model, id,
                            after (an id), tokens (at least so many sent), contains (a text in the messages)
GET /_sim/requests/{id}     one of them with the body that was sent
GET /_sim/wait              the same query, answered as soon as `count` (1) match; 408 after `timeout_s` (10)

A request is queued, loading, prefilling, streaming and then done, failed (a fault, an error) or aborted (its client
left); `times` holds the unix seconds at which each state began.
"""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from devstack.model_server.bodies import json_response, read_object
from devstack.model_server.errors import BadRequestError, ModelNotFoundError
from devstack.model_server.faults import Fault, FaultError
from devstack.model_server.journal import Entry
from devstack.model_server.script import Line, ScriptError
from devstack.model_server.settings import SettingsError
from devstack.model_server.state import STATE

MAX_WAIT_S = 60.0


def add_routes(router: web.UrlDispatcher) -> None:
    """Register these endpoints."""
    router.add_get("/_sim/config", _config)
    router.add_put("/_sim/config", _configure)
    router.add_get("/_sim/faults", _faults)
    router.add_put("/_sim/faults", _replace_faults)
    router.add_post("/_sim/faults", _add_faults)
    router.add_delete("/_sim/faults", _clear_faults)
    router.add_get("/_sim/script", _script)
    router.add_put("/_sim/script", _replace_script)
    router.add_post("/_sim/script", _add_to_script)
    router.add_delete("/_sim/script", _clear_script)
    router.add_get("/_sim/requests", _requests)
    router.add_delete("/_sim/requests", _clear_requests)
    router.add_get("/_sim/requests/{id:[0-9]+}", _request)
    router.add_get("/_sim/wait", _wait)


async def _config(request: web.Request) -> web.Response:
    return json_response(asdict(request.app[STATE].simulation))


async def _configure(request: web.Request) -> web.Response:
    state = request.app[STATE]
    try:
        state.simulation = state.simulation.changed(await read_object(request))
    except SettingsError as error:
        raise BadRequestError(str(error)) from None
    state.gpu.reconsider()
    return json_response(asdict(state.simulation))


async def _faults(request: web.Request) -> web.Response:
    return json_response({"faults": request.app[STATE].faults.shown()})


async def _replace_faults(request: web.Request) -> web.Response:
    state = request.app[STATE]
    state.faults.replace(await _read_faults(request), state.simulation.seed)
    return await _faults(request)


async def _add_faults(request: web.Request) -> web.Response:
    request.app[STATE].faults.add(await _read_faults(request))
    return await _faults(request)


async def _clear_faults(request: web.Request) -> web.Response:
    state = request.app[STATE]
    state.faults.replace([], state.simulation.seed)
    return await _faults(request)


async def _read_faults(request: web.Request) -> list[Fault]:
    body = await read_object(request)
    wanted = body.get("faults", [body])
    try:
        return [Fault.parse(values) for values in wanted]
    except (FaultError, TypeError) as error:
        raise BadRequestError(str(error)) from None


async def _script(request: web.Request) -> web.Response:
    return json_response({"lines": request.app[STATE].script.shown()})


async def _replace_script(request: web.Request) -> web.Response:
    request.app[STATE].script.replace(await _read_lines(request))
    return await _script(request)


async def _add_to_script(request: web.Request) -> web.Response:
    request.app[STATE].script.add(await _read_lines(request))
    return await _script(request)


async def _clear_script(request: web.Request) -> web.Response:
    request.app[STATE].script.replace([])
    return await _script(request)


async def _read_lines(request: web.Request) -> list[Line]:
    body = await read_object(request)
    wanted = body.get("lines", [body])
    try:
        return [Line.parse(values) for values in wanted]
    except (ScriptError, TypeError) as error:
        raise BadRequestError(str(error)) from None


def _selected(request: web.Request) -> list[Entry]:
    """Entries that match the query: state, endpoint, model, after (an id), tokens (at least so many sent)."""
    query = request.query
    try:
        after, tokens = int(query.get("after", 0)), int(query.get("tokens", 0))
    except ValueError:
        raise BadRequestError("after and tokens want an integer") from None
    states = set(query.get("state", "").split(",")) - {""}
    model = query.get("model", "")
    return [
        entry
        for entry in request.app[STATE].journal
        if entry.id > after
        and entry.tokens_sent >= tokens
        and (not states or entry.state in states)
        and (not model or model in (entry.model, entry.model.removesuffix(":latest")))
        and (not query.get("endpoint") or query["endpoint"] == entry.endpoint)
        and (not query.get("id") or query["id"] == str(entry.id))
        and (not query.get("contains") or query["contains"] in str(entry.body.get("messages", entry.body)))
    ]


async def _requests(request: web.Request) -> web.Response:
    return json_response({"requests": [entry.summary() for entry in _selected(request)]})


async def _clear_requests(request: web.Request) -> web.Response:
    request.app[STATE].journal.clear()
    return json_response({"requests": []})


async def _request(request: web.Request) -> web.Response:
    entry = request.app[STATE].journal.find(int(request.match_info["id"]))
    if entry is None:
        raise ModelNotFoundError(request.match_info["id"])
    return json_response({**entry.summary(), "body": entry.body})


async def _wait(request: web.Request) -> web.Response:
    """Answers when `count` (1) requests match the query, or 408 with what matches after `timeout_s` (10)."""
    try:
        count = int(request.query.get("count", 1))
        timeout_s = min(float(request.query.get("timeout_s", 10)), MAX_WAIT_S)
    except ValueError:
        raise BadRequestError("count and timeout_s want a number") from None
    reached = await request.app[STATE].journal.wait(lambda: len(_selected(request)) >= count, timeout_s)
    found = [entry.summary() for entry in _selected(request)]
    return json_response({"requests": found}, 200 if reached else 408)
