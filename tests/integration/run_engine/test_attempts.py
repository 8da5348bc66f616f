"""One run, several calls of Execute: a function that dies, hands over, or refuses."""

import asyncio
from collections.abc import AsyncGenerator

import grpc
import grpc.aio
import pytest
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest
from dormouse.agent.v1.run_event_pb2 import ActivityKind, CancelCause, RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from edge.runs.agent_client import WAKING_AFTER_S
from edge.runs.model import OnDisconnect, RunStatus

from tests.integration.run_engine.conftest import Bench, eventually, kinds, text_of
from tests.integration.run_engine.scripted_agent import delta, ended, finished, handoff, saying, started, usage


class FunctionDiedError(Exception):
    """The scripted function breaks off here."""


async def test_a_function_that_dies_is_called_again_with_what_it_had_said(bench: Bench) -> None:
    engine = await bench.replica()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield started()
        if not request.HasField("recovery"):
            yield delta("Once ")
            yield delta("upon ")
            raise FunctionDiedError
        yield delta("a time")
        yield ended()
        yield usage(4)
        yield finished()

    bench.agent.script = script
    run_id = await engine.start(bench.spec())
    events = await bench.read(engine, run_id)
    assert text_of(events) == "Once upon a time"
    assert kinds(events).count("message_started") == 1
    recovery = bench.agent.requests[1].recovery
    assert (recovery.attempt, recovery.messages[0].text, recovery.messages[0].pieces) == (2, "Once upon ", 2)
    assert (await engine.get(bench.tenant.id, run_id)).usage.completion_tokens == 4


async def test_a_handoff_goes_on_in_the_next_call_without_a_trace(bench: Bench) -> None:
    engine = await bench.replica()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield started()
        yield delta(f"{len(bench.agent.requests)} ")
        if len(bench.agent.requests) < 4:
            yield handoff()
            return
        yield ended()
        yield finished()

    bench.agent.script = script
    events = await bench.read(engine, await engine.start(bench.spec()))
    assert text_of(events) == "1 2 3 4 "
    assert "activity" not in kinds(events)


async def test_an_error_that_no_repetition_mends_ends_the_run_at_once(bench: Bench) -> None:
    engine = await bench.replica()
    bench.agent.refusal = ErrorReason.ERROR_REASON_MODEL_NOT_FOUND
    run_id = await engine.start(bench.spec())
    events = await bench.read(engine, run_id)
    assert events[-1].run_failed.reason == ErrorReason.ERROR_REASON_MODEL_NOT_FOUND
    assert len(bench.agent.requests) == 1
    assert (await engine.get(bench.tenant.id, run_id)).status is RunStatus.FAILED


async def test_a_model_that_stays_away_ends_the_run_after_bounded_retries(bench: Bench) -> None:
    engine = await bench.replica()
    engine.policy = type(engine.policy)(model_delays_s=(0.01, 0.01))
    bench.agent.refusal = ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE
    events = await bench.read(engine, await engine.start(bench.spec()))
    assert events[-1].run_failed.reason == ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE
    assert events[-1].run_failed.retryable
    assert len(bench.agent.requests) == 3


@pytest.mark.parametrize("phase", ["before the first event", "in mid-stream"])
async def test_cancel_closes_the_call_and_ends_the_log(bench: Bench, phase: str) -> None:
    engine = await bench.replica()
    reached = asyncio.Event()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        if phase == "in mid-stream":
            yield started()
            yield delta("one ")
        reached.set()
        await asyncio.Event().wait()

    bench.agent.script = script
    run_id = await engine.start(bench.spec())
    await reached.wait()
    record = await engine.cancel(bench.tenant.id, run_id)
    assert record.status is RunStatus.CANCELLED
    events = await bench.read(engine, run_id)
    assert events[-1].run_cancelled.cause == CancelCause.CANCEL_CAUSE_REQUESTED

    async def closed() -> bool:
        return bench.agent.cancelled == [run_id]

    await eventually(closed, 1)
    assert (await engine.cancel(bench.tenant.id, run_id)).status is RunStatus.CANCELLED


async def test_cancel_reaches_the_replica_that_executes_the_run(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    reached = asyncio.Event()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield started()
        reached.set()
        await asyncio.Event().wait()

    bench.agent.script = script
    run_id = await first.start(bench.spec())
    await reached.wait()
    assert (await second.cancel(bench.tenant.id, run_id)).status is RunStatus.CANCELLED


@pytest.mark.parametrize("choice", list(OnDisconnect))
async def test_a_client_that_leaves_ends_its_run_only_when_it_asked_for_that(
    bench: Bench, choice: OnDisconnect
) -> None:
    engine = await bench.replica()
    go_on = asyncio.Event()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield started()
        await go_on.wait()
        yield delta("done")
        yield ended()
        yield finished()

    bench.agent.script = script
    run_id = await engine.start(bench.spec(on_disconnect=choice))
    await engine.client_gone(bench.tenant.id, run_id)
    go_on.set()
    events = await bench.read(engine, run_id)
    expected = "run_cancelled" if choice is OnDisconnect.CANCEL else "run_finished"
    assert kinds(events)[-1] == expected


async def test_a_run_goes_on_when_the_function_is_away_at_first(bench: Bench) -> None:
    engine = await bench.replica()
    bench.agent.script = saying("hello")
    bench.agent.failures = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED]
    events = await bench.read(engine, await engine.start(bench.spec()))
    assert text_of(events) == "hello"


async def test_who_waits_for_a_function_to_start_is_told_so(bench: Bench) -> None:
    engine = await bench.replica()
    bench.agent.awake.clear()
    run_id = await engine.start(bench.spec())
    told: list[RunEvent] = []
    async for batch in engine.events(bench.tenant.id, run_id):
        told += batch
        if told[-1].HasField("activity"):
            bench.agent.awake.set()
    assert [(event.activity.kind, event.activity.subject) for event in told if event.HasField("activity")] == [
        (ActivityKind.ACTIVITY_KIND_WAKING, "agent_fn")
    ]
    assert text_of(told) == "hello"


async def test_a_function_that_has_the_call_is_not_said_to_start(bench: Bench) -> None:
    engine = await bench.replica()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        await asyncio.sleep(3 * WAKING_AFTER_S)  # a model that thinks
        for event in (started(), delta("late"), ended(), finished()):
            yield event

    bench.agent.script = script
    events = await bench.read(engine, await engine.start(bench.spec()))
    assert "activity" not in kinds(events)
