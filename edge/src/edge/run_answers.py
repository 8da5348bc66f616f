"""How every surface answers with a run: as a stream, or by waiting for its end."""

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import psycopg
from dormouse.agent.v1.run_event_pb2 import RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from fastapi import Request

from .auth.caller import EVERYTHING, Caller
from .errors import ApiError
from .idempotency.claims import claim_of
from .ids import new_run_id
from .lifecycle import ClientGoneError, ClientWatch, ServerClosingError
from .request_context import context_of
from .runs.model import OnDisconnect, RunSpec
from .services import Services
from .sse import EventEncoder, EventStream


async def start_run(request: Request, services: Services, caller: Caller, spec: RunSpec) -> str:
    """Starts a run and notes its id for the logs.

    A request with an `Idempotency-Key` whose run goes on already, or has ended, gets that one; a run that is started
    for such a request goes on when its client leaves, and can be found by the next.
    Raises what the policy and the engine raise, ApiError 429 where a budget or a limit is used up, and ApiError 503
    where the platform is.
    """
    claim = claim_of(request.scope)
    if claim is not None and claim.follows:
        note_run(request, claim.run_id, spec.thread_id)
        return claim.run_id
    run_id = claim.run_id if claim is not None else spec.run_id or new_run_id()
    if claim is not None:
        spec = replace(spec, stored=True, on_disconnect=OnDisconnect.CONTINUE)
    spec = await services.policy.check(caller, replace(spec, run_id=run_id))
    await services.limits.admit_run(request, caller, run_id, spec)
    is_held = False
    try:
        is_held = await services.spending.reserve_run(caller, run_id, spec)
        await services.runs.start(replace(spec, key_id=caller.key_id))
    except BaseException as error:
        services.limits.abandon(request, run_id)
        is_here = run_id in services.runs.here
        if is_held and not is_here:
            services.spending.release(caller, run_id)
        if claim is not None:
            # A replica that was taken for dead may have started it after all.
            claim.has_started = is_here or isinstance(error, psycopg.errors.UniqueViolation)
        raise
    if claim is not None:
        claim.has_started = True
    note_run(request, run_id, spec.thread_id)
    return run_id


def time_of(request: Request) -> int:
    """When the answer began, in Unix seconds; of one that is given again the same."""
    claim = claim_of(request.scope)
    return int(time.time() if claim is None else claim.created_at.timestamp())


async def answer_run(
    request: Request,
    services: Services,
    caller: Caller,
    run_id: str,
    answers: Mapping[str, Any],
    *,
    on_disconnect: OnDisconnect | None = None,
) -> int:
    """Lets an interrupted run go on; returns the seq behind which its new events come.

    Raises what the policy and the engine raise, ApiError 429 where a budget or a limit is used up, and ApiError 503
    where the platform is.
    """
    if caller.grants != EVERYTHING:
        services.policy.check_answers(caller, await services.runs.get(caller.tenant, run_id), answers)
    await services.limits.admit_run(request, caller, run_id, None)
    is_held = False
    try:
        is_held = await services.spending.reserve_resumption(caller, run_id, "")
        after = await services.runs.resume(caller.tenant, run_id, answers, on_disconnect=on_disconnect)
    except BaseException:
        services.limits.abandon(request, run_id)
        if is_held and run_id not in services.runs.here:
            services.spending.release(caller, run_id)
        raise
    services.limits.abandon(request, run_id, elsewhere=True)  # unless it goes on here, and because of this answer
    return after


def note_run(request: Request, run_id: str, thread_id: str | None = None) -> None:
    """Says in the request's log line and trace which run it was about."""
    context = context_of(request.scope)
    context.run_id = run_id
    context.thread_id = thread_id or ""


def run_headers(services: Services, run_id: str) -> dict[str, str]:
    """What every answer about a run carries."""
    headers = {"x-dormouse-run-id": run_id}
    if not services.runs.resume_available:
        headers["x-dormouse-resume"] = "off"
    return headers


def stream_run(
    services: Services,
    caller: Caller,
    run_id: str,
    encoder: EventEncoder[RunEvent],
    *,
    surface: str,
    after: int = 0,
    owns_run: bool = True,
) -> EventStream[RunEvent]:
    """The run's events behind `after` as a stream. With `owns_run` the run learns when its client is gone."""

    async def on_gone() -> None:
        if owns_run:
            await services.runs.client_gone(caller.tenant, run_id)

    return EventStream(
        services.runs.events(caller.tenant, run_id, after),
        encoder,
        surface=surface,
        lifecycle=services.lifecycle,
        headers=run_headers(services, run_id),
        on_gone=on_gone,
    )


async def wait_for_run(
    request: Request,
    services: Services,
    caller: Caller,
    run_id: str,
    take: Callable[[Sequence[RunEvent]], None],
) -> None:
    """Hands the run's events to `take` until its end.

    Raises ClientGoneError when there is nobody left to answer, after the run has learnt of it; ApiError when the server
    closes; and what `take` raises.
    """
    events: AsyncGenerator[Sequence[RunEvent], None] = services.runs.events(caller.tenant, run_id)
    try:
        async with aclosing(events), ClientWatch(request.receive, services.lifecycle):
            async for batch in events:
                take(batch)
    except ClientGoneError:
        await services.runs.client_gone(caller.tenant, run_id)
        raise
    except ServerClosingError:
        raise ApiError.of(ErrorReason.ERROR_REASON_SHUTTING_DOWN, "The server is shutting down; try again.") from None
