"""Runs on one thread: one at a time, whoever asks and wherever."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest
from dormouse.agent.v1.run_event_pb2 import ActivityKind, CancelCause, RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from edge.runs.model import MultitaskStrategy, OnDisconnect, RunSpec, RunStatus

from tests.integration.run_engine.conftest import Bench, text_of
from tests.integration.run_engine.scripted_agent import base, delta, ended, finished, saying, started


class Turns:
    """A script that records which runs are inside at the same time, and waits where it is told to."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.inside = 0
        self.most_inside = 0
        self.go_on = asyncio.Event()

    async def script(self, request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.order.append(request.run_id)
        try:
            yield base("checkpoint-1")
            yield started(request.run_id)
            yield delta(f"answer to {request.input[-1].content[0].text}", request.run_id)
            await self.go_on.wait()
            yield ended(request.run_id)
            yield finished()
        finally:
            self.inside -= 1


def on(bench: Bench, thread_id: str, text: str, strategy: MultitaskStrategy) -> RunSpec:
    return bench.spec(text, thread_id=thread_id, multitask_strategy=strategy, on_disconnect=OnDisconnect.CONTINUE)


def asked(request: ExecuteRequest) -> list[str]:
    return [message.content[0].text for message in request.input]


async def test_a_busy_thread_refuses_and_says_who_holds_it(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    turns, thread_id = Turns(), await bench.thread()
    bench.agent.script = turns.script
    run_id = await first.start(on(bench, thread_id, "one", MultitaskStrategy.REJECT))
    with pytest.raises(DormouseError) as refusal:
        await second.start(on(bench, thread_id, "two", MultitaskStrategy.REJECT))
    assert refusal.value.reason == ErrorReason.ERROR_REASON_THREAD_BUSY
    assert run_id in refusal.value.message
    turns.go_on.set()
    await bench.read(second, run_id)
    await bench.read(second, await second.start(on(bench, thread_id, "three", MultitaskStrategy.REJECT)))


async def test_of_many_racing_runs_on_a_thread_one_is_admitted(bench: Bench) -> None:
    engines = [await bench.replica(), await bench.replica()]
    turns, thread_id = Turns(), await bench.thread()
    bench.agent.script = turns.script
    starts = [engines[n % 2].start(on(bench, thread_id, str(n), MultitaskStrategy.REJECT)) for n in range(12)]
    outcomes = await asyncio.gather(*starts, return_exceptions=True)
    admitted = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert len(admitted) == 1
    turns.go_on.set()
    await bench.read(engines[0], admitted[0])


async def test_enqueued_runs_take_turns_in_order_on_any_replica(bench: Bench) -> None:
    engines = [await bench.replica(), await bench.replica()]
    turns, thread_id = Turns(), await bench.thread()
    bench.agent.script = turns.script
    run_ids = [await engines[n % 2].start(on(bench, thread_id, str(n), MultitaskStrategy.ENQUEUE)) for n in range(6)]
    await bench.said(engines[0], run_ids[0], "answer")
    turns.go_on.set()
    logs = await asyncio.gather(*(bench.read(engines[n % 2], run_id) for n, run_id in enumerate(run_ids)))
    assert turns.order == run_ids
    assert turns.most_inside == 1
    assert [text_of(log) for log in logs] == [f"answer to {n}" for n in range(6)]
    waited = [event.activity for event in logs[5] if event.HasField("activity")]
    assert waited[0].kind == ActivityKind.ACTIVITY_KIND_QUEUED
    assert waited[0].position >= 1


async def test_a_queued_run_can_be_cancelled(bench: Bench) -> None:
    engine = await bench.replica()
    turns, thread_id = Turns(), await bench.thread()
    bench.agent.script = turns.script
    one = await engine.start(on(bench, thread_id, "one", MultitaskStrategy.REJECT))
    queued = await engine.start(on(bench, thread_id, "two", MultitaskStrategy.ENQUEUE))
    assert (await engine.get(bench.tenant.id, queued)).status is RunStatus.QUEUED
    assert (await engine.cancel(bench.tenant.id, queued)).status is RunStatus.CANCELLED
    turns.go_on.set()
    await bench.read(engine, one)
    assert turns.order == [one]


async def test_an_interrupted_run_leaves_what_was_asked_and_said_to_the_next(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    turns, thread_id = Turns(), await bench.thread()
    bench.agent.script = turns.script
    one = await first.start(on(bench, thread_id, "one", MultitaskStrategy.REJECT))
    await bench.said(first, one, "answer")
    two = await second.start(on(bench, thread_id, "two", MultitaskStrategy.INTERRUPT))
    log = await bench.read(first, one)
    assert log[-1].run_cancelled.cause == CancelCause.CANCEL_CAUSE_INTERRUPTED
    await bench.said(second, two, "answer")
    assert asked(bench.agent.requests[-1]) == ["one", "answer to one", "two"]
    three = await first.start(on(bench, thread_id, "three", MultitaskStrategy.INTERRUPT))
    await bench.said(first, three, "answer")
    assert asked(bench.agent.requests[-1]) == ["one", "answer to one", "two", "answer to two", "three"]
    turns.go_on.set()
    await bench.read(first, three)


async def test_a_rolled_back_run_leaves_nothing(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    turns, thread_id = Turns(), await bench.thread()
    bench.agent.script = turns.script
    one = await first.start(on(bench, thread_id, "one", MultitaskStrategy.REJECT))
    await bench.said(first, one, "answer")
    two = await second.start(on(bench, thread_id, "two", MultitaskStrategy.ROLLBACK))
    await bench.said(second, two, "answer")
    request = bench.agent.requests[-1]
    assert asked(request) == ["two"]
    assert request.thread.checkpoint_id == "checkpoint-1"
    assert (await second.get(bench.tenant.id, one)).status is RunStatus.CANCELLED
    turns.go_on.set()
    await bench.read(second, two)


async def test_a_queued_run_whose_replica_died_still_gets_its_turn(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    turns, thread_id = Turns(), await bench.thread()
    bench.agent.script = turns.script
    one = await first.start(on(bench, thread_id, "one", MultitaskStrategy.REJECT))
    two = await second.start(on(bench, thread_id, "two", MultitaskStrategy.ENQUEUE))
    await bench.kill(second)
    turns.go_on.set()
    await bench.read(first, one)
    assert text_of(await bench.read(first, two)) == "answer to two"
    assert turns.most_inside == 1


async def test_a_run_on_a_thread_that_is_not_there_is_refused(bench: Bench) -> None:
    engine = await bench.replica()
    bench.agent.script = saying("nothing")
    with pytest.raises(DormouseError) as refusal:
        await engine.start(on(bench, "thread_of_nobody", "one", MultitaskStrategy.REJECT))
    assert refusal.value.reason == ErrorReason.ERROR_REASON_THREAD_NOT_FOUND
