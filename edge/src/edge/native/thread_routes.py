"""`/v1/threads`: conversations that last."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import orjson
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from fastapi import APIRouter, Request, Response

from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Scope
from edge.openapi import errors, json_answer, json_body
from edge.request_body import read_json
from edge.request_context import context_of
from edge.runs import RunEngine
from edge.runs.model import RunStatus
from edge.services import services_of

from .conversion import state_to_json, thread_to_json, threads_to_json
from .parameters import After, Limit, ThreadId
from .schemas import ThreadChanges, ThreadDeleted, ThreadList, ThreadObject, ThreadRequest, ThreadState

router = APIRouter(tags=["Threads"])

THREAD_EXAMPLE: Final[dict[str, Any]] = {
    "id": "thread_8dYh2mPz0ZcA5kQw1nRtXvBg",
    "object": "thread",
    "metadata": {"topic": "animals"},
    "created_at": "2026-11-20T09:34:55.595Z",
    "updated_at": "2026-11-20T09:34:55.595Z",
}
_LIST_EXAMPLE = {"object": "list", "data": [THREAD_EXAMPLE], "has_more": False, "last_id": THREAD_EXAMPLE["id"]}
_STATE_EXAMPLE = {
    "thread_id": THREAD_EXAMPLE["id"],
    "checkpoint_id": "1f0c5e0a-7c1b-6d2e-8001-2f6d6f6e7a11",
    "messages": [
        {"id": "m1", "role": "user", "content": "What is a dormouse?"},
        {"id": "m2", "role": "assistant", "content": "A small rodent that sleeps a lot."},
    ],
    "values": {},
}


@router.post(
    "/v1/threads",
    operation_id="createThread",
    summary="Make a thread",
    status_code=201,
    responses={201: json_answer(ThreadObject, "The thread.", THREAD_EXAMPLE), **errors(400, 413, 415)},
    openapi_extra=json_body(ThreadRequest, required=False),
    response_class=Response,
)
async def create_thread(request: Request, caller: Annotated[Caller, Requires(Scope.THREADS)]) -> Response:
    wanted = await read_json(request, ThreadRequest, default=ThreadRequest())
    thread = await services_of(request).threads.create(caller.tenant, wanted.metadata)
    return _json(thread_to_json(thread), 201, {"location": f"/v1/threads/{thread.id}"})


@router.get(
    "/v1/threads",
    operation_id="listThreads",
    summary="List threads",
    description="Newest first.",
    responses={200: json_answer(ThreadList, "Threads.", _LIST_EXAMPLE), **errors(400)},
    response_class=Response,
)
async def list_threads(
    request: Request, caller: Annotated[Caller, Requires(Scope.THREADS_READ)], limit: Limit = 20, after: After = None
) -> Response:
    page = await services_of(request).threads.page(caller.tenant, limit=limit, after=after)
    return _json(threads_to_json(page))


@router.get(
    "/v1/threads/{thread_id}",
    operation_id="getThread",
    summary="Look up a thread",
    responses={200: json_answer(ThreadObject, "The thread.", THREAD_EXAMPLE), **errors(404)},
    response_class=Response,
)
async def get_thread(
    request: Request, caller: Annotated[Caller, Requires(Scope.THREADS_READ)], thread_id: ThreadId
) -> Response:
    return _json(thread_to_json(await services_of(request).threads.get(caller.tenant, thread_id)))


@router.patch(
    "/v1/threads/{thread_id}",
    operation_id="updateThread",
    summary="Change a thread's metadata",
    description="Keys that are given are set, or removed where their value is null; the others stay.",
    responses={200: json_answer(ThreadObject, "The thread.", THREAD_EXAMPLE), **errors(400, 404, 413, 415)},
    openapi_extra=json_body(ThreadChanges),
    response_class=Response,
)
async def update_thread(
    request: Request, caller: Annotated[Caller, Requires(Scope.THREADS)], thread_id: ThreadId
) -> Response:
    changes = await read_json(request, ThreadChanges)
    thread = await services_of(request).threads.merge_metadata(caller.tenant, thread_id, changes.metadata)
    return _json(thread_to_json(thread))


@router.delete(
    "/v1/threads/{thread_id}",
    operation_id="deleteThread",
    summary="Delete a thread",
    description="With everything that was said on it and the records of its runs; those that are active are cancelled.",
    responses={
        200: json_answer(
            ThreadDeleted,
            "It is gone.",
            {"id": THREAD_EXAMPLE["id"], "object": "thread.deleted", "deleted": True},
        ),
        **errors(404, 504),
    },
    response_class=Response,
)
async def delete_thread(
    request: Request, caller: Annotated[Caller, Requires(Scope.THREADS)], thread_id: ThreadId
) -> Response:
    services = services_of(request)
    await services.threads.get(caller.tenant, thread_id)
    for status in (RunStatus.QUEUED, RunStatus.RUNNING):
        page = await services.runs.list(caller.tenant, limit=100, thread_id=thread_id, status=status)
        for run in page.runs:
            await services.runs.cancel(caller.tenant, run.id)
    run_ids = [run_id async for run_id in _runs_of(services.runs, caller.tenant, thread_id)]
    # What was said goes first: if that fails the thread is still there, and deleting it can be tried again.
    await services.agents.delete_thread(caller, thread_id, context_of(request.scope).request_id)
    await services.threads.delete(caller.tenant, thread_id)
    await services.runs.forget(run_ids)
    return _json({"id": thread_id, "object": "thread.deleted", "deleted": True})


@router.get(
    "/v1/threads/{thread_id}/state",
    operation_id="getThreadState",
    summary="Read what was said on a thread",
    description="As of the end of its last finished step.",
    responses={200: json_answer(ThreadState, "Messages and values.", _STATE_EXAMPLE), **errors(404, 504)},
    response_class=Response,
)
async def get_thread_state(
    request: Request, caller: Annotated[Caller, Requires(Scope.THREADS_READ)], thread_id: ThreadId
) -> Response:
    services = services_of(request)
    await services.threads.get(caller.tenant, thread_id)
    try:
        state = await services.agents.thread_state(caller, thread_id, context_of(request.scope).request_id)
    except DormouseError as error:
        if error.reason != ErrorReason.ERROR_REASON_THREAD_NOT_FOUND:
            raise
        state = None  # no run has left anything on it yet
    return _json(state_to_json(thread_id, state))


async def _runs_of(runs: RunEngine, tenant: str, thread_id: str) -> AsyncIterator[str]:
    after: str | None = None
    while True:
        page = await runs.list(tenant, limit=100, after=after, thread_id=thread_id)
        for run in page.runs:
            yield (after := run.id)
        if not page.has_more:
            return


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, media_type="application/json")
