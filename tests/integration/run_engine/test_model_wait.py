"""Runs whose model server is not there: they wait for it, are told so, and do not wait for ever."""

import asyncio
from contextlib import aclosing

import pytest
from dormouse.agent.v1.run_event_pb2 import ActivityKind, RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import MODEL_AWAY
from edge.runs import RunEngine, model_wait
from edge.runs.model import OnDisconnect, RunStatus

from tests.integration.run_engine.conftest import Bench, eventually, text_of


@pytest.fixture
def asleep(bench: Bench) -> Bench:
    """The scripted agent finds nobody where its model server should be."""
    bench.agent.refusal, bench.agent.refusal_details = ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE, MODEL_AWAY
    return bench


def told(events: list[RunEvent]) -> list[tuple[ActivityKind.ValueType, str]]:
    return [(event.activity.kind, event.activity.subject) for event in events if event.HasField("activity")]


async def looked(bench: Bench, times: int) -> None:
    async def often() -> bool:
        return len(bench.agent.requests) >= times

    await eventually(often, 5)


async def told_to_wait(bench: Bench, engine: RunEngine, run_id: str) -> None:
    async with aclosing(engine.events(bench.tenant.id, run_id)) as batches:
        async for batch in batches:
            if any(event.HasField("activity") for event in batch):
                return


async def test_a_run_waits_for_its_models_and_says_so_once(asleep: Bench) -> None:
    engine = await asleep.replica(model_wake_s=30)
    engine.policy = type(engine.policy)(model_delays_s=())  # what fails, fails at once
    run_id = await engine.start(asleep.spec())
    await looked(asleep, 2)
    assert engine.active == 1
    asleep.agent.refusal = None
    events = await asleep.read(engine, run_id)
    assert text_of(events) == "hello"
    assert told(events) == [(ActivityKind.ACTIVITY_KIND_WAKING, "models")]
    assert engine.active == 0


async def test_the_first_run_that_finds_the_models_calls_the_others(
    asleep: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await asleep.replica(model_wake_s=30)
    with monkeypatch.context() as patience:
        patience.setattr(model_wait, "FIRST_PAUSE_S", 60.0)
        patience.setattr(model_wait, "LONGEST_PAUSE_S", 60.0)
        sleeper = await engine.start(asleep.spec())
        await looked(asleep, 1)
        reading = asyncio.create_task(asleep.read(engine, sleeper))
        await told_to_wait(asleep, engine, sleeper)
    other = await engine.start(asleep.spec())
    await looked(asleep, 2)
    asleep.agent.refusal = None
    async with asyncio.timeout(5):
        assert text_of(await asleep.read(engine, other)) == "hello"
        assert text_of(await reading) == "hello"


async def test_models_that_do_not_come_in_time_end_the_run_with_a_word_on_what_to_do(asleep: Bench) -> None:
    engine = await asleep.replica(model_wake_s=0.2)
    failed = (await asleep.read(engine, await engine.start(asleep.spec())))[-1].run_failed
    assert failed.reason == ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE
    assert failed.retryable
    assert "look whether a node for them can be had" in failed.message


async def test_a_run_that_waits_for_its_models_is_cancelled_at_once_and_outlives_its_replica(asleep: Bench) -> None:
    first, second = [await asleep.replica(model_wake_s=30) for _ in range(2)]
    cancelled, kept = [await first.start(asleep.spec(on_disconnect=OnDisconnect.CONTINUE)) for _ in range(2)]
    await looked(asleep, 4)
    assert (await first.cancel(asleep.tenant.id, cancelled)).status is RunStatus.CANCELLED
    await asleep.kill(first)
    asleep.agent.refusal = None
    assert text_of(await asleep.read(second, kept)) == "hello"
