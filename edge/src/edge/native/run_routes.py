"""`/v1/runs`: runs, with or without a thread, and their events."""

from typing import Annotated, Any, Final

import orjson
from dormouse.common.v1.error_pb2 import ErrorReason
from fastapi import APIRouter, Header, Query, Request, Response

from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Scope
from edge.errors import ApiError
from edge.ids import is_run_id, is_thread_id
from edge.openapi import Responses, errors, event_stream, json_answer, json_body
from edge.request_body import read_json
from edge.request_context import context_of
from edge.run_answers import answer_run, note_run, run_headers, start_run, stream_run
from edge.run_wishes import limits_of, tools_of
from edge.runs.model import OnDisconnect, RunPage, RunSpec, RunStatus
from edge.services import services_of

from .conversion import client_tools_of, messages_of, options_of, run_to_json, runs_to_json
from .event_schemas import EVENT
from .events import NativeEncoder
from .parameters import After, Limit, RunId, ThreadId, check_run_id
from .schemas import ResumeRequest, RunList, RunObject, RunRequest

router = APIRouter(tags=["Runs"])

SEQ_LIMIT: Final = 10**18 - 1

RUN_EXAMPLE: Final[dict[str, Any]] = {
    "id": "run_8dYh2mPz0ZcA5kQw1nRtXvBg",
    "object": "run",
    "status": "running",
    "agent": "chat",
    "model": None,
    "thread_id": None,
    "created_at": "2026-11-20T09:34:55.595Z",
    "started_at": "2026-11-20T09:34:55.601Z",
    "finished_at": None,
    "finish_reason": None,
    "error": None,
    "interrupts": [],
    "usage": {"prompt_tokens": 0, "completion_tokens": 0, "reasoning_tokens": 0},
}
_LIST_EXAMPLE = {"object": "list", "data": [RUN_EXAMPLE], "has_more": False, "last_id": RUN_EXAMPLE["id"]}
_EVENTS_EXAMPLE = (
    'id: 1\nevent: run.started\ndata: {"seq":1,"unix_ms":1795167295595,"run_id":"run_8dYh2mPz0ZcA5kQw1nRtXvBg",'
    '"thread_id":null,"agent":"chat","model":null}\n\n'
    'id: 4\nevent: message.delta\ndata: {"seq":4,"unix_ms":1795167295640,"message_id":"msg_1","text":"A small",'
    '"pieces":2}\n\n'
    'id: 9\nevent: run.finished\ndata: {"seq":9,"unix_ms":1795167295999,"finish_reason":"stop"}\n\n'
)
_RESUMED_EXAMPLE = (
    'id: 18\nevent: run.resumed\ndata: {"seq":18,"unix_ms":1795167299999,"answers":'
    '{"run_8dYh2mPz0ZcA5kQw1nRtXvBg.m1.c1.approval":{"action":"approve"}}}\n\n'
    'id: 25\nevent: run.finished\ndata: {"seq":25,"unix_ms":1795167300999,"finish_reason":"stop"}\n\n'
)
_STARTED: Responses = {
    200: event_stream("The run's events, to its end.", EVENT, _EVENTS_EXAMPLE),
    202: json_answer(RunObject, "The run, with `background`.", RUN_EXAMPLE),
}
_RESUMED: Responses = {
    200: event_stream("The events that follow, to the run's end.", EVENT, _RESUMED_EXAMPLE),
    202: _STARTED[202],
}
_EVENT_NAMES = (
    "Names: `run.started`, `run.resumed`, `step.started`, `step.finished`, `message.started`, `message.delta`, "
    "`message.replaced`, `message.finished`, `reasoning.delta`, `tool_call.started`, `tool_call.args`, "
    "`tool_call.finished`, `tool_call.result`, `state.snapshot`, `state.delta`, `artifact.delta`, `artifact.saved`, "
    "`activity`, `usage.reported`, and at the end exactly one of `run.finished`, `run.failed`, `run.cancelled` and "
    "`run.interrupted`. "
    "A run that was interrupted and answered goes on in the same log, with `run.resumed` behind `run.interrupted`."
)


@router.post(
    "/v1/runs",
    operation_id="createRun",
    summary="Run an agent without a thread",
    description="The answer is the stream of the run's events, or with `background` the run. The events can be read "
    f"again, and further, at `/v1/runs/{{run_id}}/events`. {_EVENT_NAMES}",
    responses={**_STARTED, **errors(400, 404, 413, 415, 504)},
    openapi_extra=json_body(RunRequest),
    response_class=Response,
)
async def create_run(request: Request, caller: Annotated[Caller, Requires(Scope.RUNS)]) -> Response:
    return await _start(request, caller, None)


@router.post(
    "/v1/threads/{thread_id}/runs",
    operation_id="createThreadRun",
    summary="Run an agent on a thread",
    description="The agent goes on from what the thread holds. While another run is active on it, "
    f"`multitask_strategy` decides. {_EVENT_NAMES}",
    responses={**_STARTED, **errors(400, 404, 409, 413, 415, 504)},
    openapi_extra=json_body(RunRequest),
    response_class=Response,
)
async def create_thread_run(
    request: Request, caller: Annotated[Caller, Requires(Scope.RUNS)], thread_id: ThreadId
) -> Response:
    return await _start(request, caller, thread_id)


@router.get(
    "/v1/runs",
    operation_id="listRuns",
    summary="List runs",
    description="Newest first. Chat Completions are not recorded and so not listed.",
    responses={200: json_answer(RunList, "Runs.", _LIST_EXAMPLE), **errors(400)},
    response_class=Response,
)
async def list_runs(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.RUNS_READ)],
    limit: Limit = 20,
    after: After = None,
    status: Annotated[RunStatus | None, Query(description="Only runs in this state.")] = None,
) -> Response:
    return await _list(request, caller, limit, after, status, None)


@router.get(
    "/v1/threads/{thread_id}/runs",
    operation_id="listThreadRuns",
    summary="List the runs of a thread",
    description="Newest first.",
    responses={200: json_answer(RunList, "Runs.", _LIST_EXAMPLE), **errors(400, 404)},
    response_class=Response,
)
async def list_thread_runs(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.RUNS_READ)],
    thread_id: ThreadId,
    limit: Limit = 20,
    after: After = None,
    status: Annotated[RunStatus | None, Query(description="Only runs in this state.")] = None,
) -> Response:
    await services_of(request).threads.get(caller.tenant, thread_id)
    return await _list(request, caller, limit, after, status, thread_id)


@router.get(
    "/v1/runs/{run_id}",
    operation_id="getRun",
    summary="Look up a run",
    responses={200: json_answer(RunObject, "The run.", RUN_EXAMPLE), **errors(404)},
    response_class=Response,
)
async def get_run(request: Request, caller: Annotated[Caller, Requires(Scope.RUNS_READ)], run_id: RunId) -> Response:
    check_run_id(run_id)
    services = services_of(request)
    run = await services.runs.get(caller.tenant, run_id)
    note_run(request, run_id, run.thread_id)
    return _json(run_to_json(run), headers=run_headers(services, run_id))


@router.get(
    "/v1/runs/{run_id}/events",
    operation_id="streamRunEvents",
    summary="Follow a run",
    description="Every event behind `Last-Event-ID` or `after`, then those to come, each once, from any replica. "
    f"{_EVENT_NAMES}",
    responses={200: event_stream("The run's events, to its end.", EVENT, _EVENTS_EXAMPLE), **errors(400, 404)},
    response_class=Response,
)
async def stream_run_events(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.RUNS_READ)],
    run_id: RunId,
    after: Annotated[int, Query(ge=0, le=SEQ_LIMIT, description="The seq of the last event that is known.")] = 0,
    last_event_id: Annotated[
        str,
        Header(
            pattern=r"^[0-9]{0,18}$",
            description="The same, as EventSource says it; wins over `after`.",
            examples=["17"],
        ),
    ] = "",
) -> Response:
    check_run_id(run_id)
    note_run(request, run_id)
    services = services_of(request)
    await services.runs.require_log(caller.tenant, run_id)  # an open stream could not say any more that there is none
    return stream_run(
        services,
        caller,
        run_id,
        NativeEncoder(),
        surface="native",
        after=int(last_event_id or after),
        owns_run=False,
    )


@router.post(
    "/v1/runs/{run_id}/cancel",
    operation_id="cancelRun",
    summary="Stop a run",
    description="Ends the model's work within a second, wherever it goes on. A run that has ended stays as it is.",
    responses={200: json_answer(RunObject, "The run.", RUN_EXAMPLE | {"status": "cancelled"}), **errors(404)},
    response_class=Response,
)
async def cancel_run(request: Request, caller: Annotated[Caller, Requires(Scope.RUNS)], run_id: RunId) -> Response:
    check_run_id(run_id)
    services = services_of(request)
    run = await services.runs.cancel(caller.tenant, run_id)
    note_run(request, run_id, run.thread_id)
    return _json(run_to_json(run), headers=run_headers(services, run_id))


@router.post(
    "/v1/runs/{run_id}/resume",
    operation_id="resumeRun",
    summary="Answer an interrupted run",
    description="All that it asks is answered at once; it then goes on in the same log. The answer is the stream of "
    "the events that follow, or with `background` the run. Sent twice it acts once, and both answers tell the same. "
    f"{_EVENT_NAMES}",
    responses={**_RESUMED, **errors(400, 404, 409, 413, 415, 504)},
    openapi_extra=json_body(ResumeRequest),
    response_class=Response,
)
async def resume_run(request: Request, caller: Annotated[Caller, Requires(Scope.RUNS)], run_id: RunId) -> Response:
    services = services_of(request)
    wanted = await read_json(request, ResumeRequest)
    check_run_id(run_id)
    note_run(request, run_id)
    on_disconnect = OnDisconnect.CONTINUE if wanted.background else wanted.on_disconnect
    after = await answer_run(request, services, caller, run_id, wanted.answers, on_disconnect=on_disconnect)
    if not wanted.background:
        return stream_run(services, caller, run_id, NativeEncoder(), surface="native", after=after)
    run = await services.runs.get(caller.tenant, run_id)
    return _json(run_to_json(run), 202, {"location": f"/v1/runs/{run_id}", **run_headers(services, run_id)})


async def _start(request: Request, caller: Caller, thread_id: str | None) -> Response:
    services = services_of(request)
    wanted = await read_json(request, RunRequest)
    if thread_id is not None and not is_thread_id(thread_id):
        raise ApiError.of(ErrorReason.ERROR_REASON_THREAD_NOT_FOUND, "There is no thread with this id.")
    messages = messages_of(wanted)
    target = await services.agents.resolve_agent(wanted.agent, wanted.model or "", caller.grants)
    spec = RunSpec(
        tenant=caller.tenant,
        user=caller.user,
        agent_id=target.agent_id,
        model=target.model,
        input=messages,
        options=options_of(wanted.options),
        client_tools=client_tools_of(wanted),
        tools=await tools_of(services, caller, target.agent_id, wanted.tools, "tools"),
        limits=limits_of(wanted.limits),
        can_interrupt=True,
        thread_id=thread_id,
        stored=True,
        on_disconnect=OnDisconnect.CONTINUE if wanted.background else wanted.on_disconnect,
        multitask_strategy=wanted.multitask_strategy,
        request_id=context_of(request.scope).request_id,
    )
    run_id = await start_run(request, services, caller, spec)
    if not wanted.background:
        return stream_run(services, caller, run_id, NativeEncoder(), surface="native")
    run = await services.runs.get(caller.tenant, run_id)
    return _json(run_to_json(run), 202, {"location": f"/v1/runs/{run_id}", **run_headers(services, run_id)})


async def _list(
    request: Request, caller: Caller, limit: int, after: str | None, status: RunStatus | None, thread_id: str | None
) -> Response:
    if after is not None and not is_run_id(after):
        page = RunPage((), has_more=False)
    else:
        page = await services_of(request).runs.list(
            caller.tenant, limit=limit, after=after, thread_id=thread_id, status=status
        )
    return _json(runs_to_json(page))


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, media_type="application/json")
