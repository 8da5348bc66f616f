"""A run that waits for answers holds its thread."""

import asyncio

import pytest
from dormouse.agent.v1.message_pb2 import Role
from dormouse.agent.v1.run_event_pb2 import ActivityKind, CancelCause, RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from edge.runs import RunEngine
from edge.runs.model import MultitaskStrategy, OnDisconnect, RunSpec, RunStatus

from tests.integration.run_engine.conftest import Bench, kinds, text_of
from tests.integration.run_engine.scripted_agent import saying

APPROVE = {"c1.approval": {"action": "approve"}}


def next_run(bench: Bench, thread_id: str, strategy: MultitaskStrategy) -> RunSpec:
    return bench.spec("next", thread_id=thread_id, multitask_strategy=strategy, on_disconnect=OnDisconnect.CONTINUE)


async def queued(bench: Bench, engine: RunEngine, run_id: str) -> RunEvent:
    """Waits until the run says that it waits for its turn."""
    async for batch in engine.events(bench.tenant.id, run_id):
        for event in batch:
            if event.activity.kind == ActivityKind.ACTIVITY_KIND_QUEUED:
                return event
    raise AssertionError("it never waited")


async def test_a_thread_whose_run_waits_refuses_another_and_says_why(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    thread_id = await bench.thread()
    run_id = await bench.interrupted(first, thread_id=thread_id)
    with pytest.raises(DormouseError) as refusal:
        await second.start(next_run(bench, thread_id, MultitaskStrategy.REJECT))
    assert refusal.value.reason == ErrorReason.ERROR_REASON_THREAD_BUSY
    assert refusal.value.details == {"run_id": run_id}
    assert "waits for answers" in refusal.value.message
    waiting = await second.interrupted_run(bench.tenant.id, thread_id)
    assert waiting is not None
    assert (waiting.id, waiting.interrupts[0].id) == (run_id, "c1.approval")
    assert await second.interrupted_run("somebody-else", thread_id) is None


async def test_a_run_that_is_enqueued_behind_a_question_starts_when_it_has_been_answered(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    thread_id = await bench.thread()
    run_id = await bench.interrupted(first, thread_id=thread_id)
    behind = await second.start(next_run(bench, thread_id, MultitaskStrategy.ENQUEUE))
    assert (await queued(bench, second, behind)).activity.subject == run_id
    assert len(bench.agent.requests) == 1
    after = await first.resume(bench.tenant.id, run_id, APPROVE)
    answered = await bench.read(first, run_id, after)
    assert kinds(answered)[-1] == "run_finished"
    bench.agent.script = saying("hello")
    log = await bench.read(second, behind)
    assert kinds(log)[-1] in ("run_finished", "run_failed")
    assert [request.run_id for request in bench.agent.requests[:3]] == [run_id, run_id, behind]


@pytest.mark.parametrize("strategy", [MultitaskStrategy.INTERRUPT, MultitaskStrategy.ROLLBACK])
async def test_a_run_that_takes_the_place_of_one_that_waits_ends_it(bench: Bench, strategy: MultitaskStrategy) -> None:
    first, second = await bench.replica(), await bench.replica()
    thread_id = await bench.thread()
    run_id = await bench.interrupted(first, thread_id=thread_id)
    bench.agent.script = saying("hello")
    async with asyncio.timeout(0.9):  # nobody waits for the next look at the queue
        later = await second.start(next_run(bench, thread_id, strategy))
        assert text_of(await bench.read(second, later)) == "hello"
    record = await first.get(bench.tenant.id, run_id)
    assert (record.status, list(record.interrupts)) == (RunStatus.CANCELLED, [])
    events = await bench.read(first, run_id)
    assert kinds(events)[-2:] == ["run_interrupted", "run_cancelled"]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    with pytest.raises(DormouseError) as refusal:
        await first.resume(bench.tenant.id, run_id, APPROVE)
    assert refusal.value.reason == ErrorReason.ERROR_REASON_CONFLICT
    request = bench.agent.requests[-1]
    if strategy is MultitaskStrategy.ROLLBACK:
        assert events[-1].run_cancelled.cause == CancelCause.CANCEL_CAUSE_ROLLED_BACK
        assert [message.role for message in request.input] == [Role.ROLE_USER]
        assert request.thread.checkpoint_id == "checkpoint-1"
        return
    assert events[-1].run_cancelled.cause == CancelCause.CANCEL_CAUSE_INTERRUPTED
    asked, said, not_run, new = request.input
    assert [message.role for message in (asked, said, not_run, new)] == [
        Role.ROLE_USER,
        Role.ROLE_ASSISTANT,
        Role.ROLE_TOOL,
        Role.ROLE_USER,
    ]
    assert said.tool_calls[0].id == not_run.tool_call_id == "c1"
    assert "not carried out" in not_run.content[0].text


async def test_a_run_that_waits_can_be_cancelled_from_anywhere(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    for forgotten in (False, True):
        run_id = await bench.interrupted(first)
        if forgotten:
            await bench.forget(run_id)
        assert (await second.cancel(bench.tenant.id, run_id)).status is RunStatus.CANCELLED
        for engine in (first, second):
            events = await bench.read(engine, run_id)
            assert kinds(events)[-2:] == ["run_interrupted", "run_cancelled"]
            # Who had everything up to the question gets what came of it.
            assert kinds(await bench.read(engine, run_id, len(events) - 1)) == ["run_cancelled"]
            assert await engine.trace_events(bench.tenant.id, run_id) == events
        assert (await first.cancel(bench.tenant.id, run_id)).status is RunStatus.CANCELLED


async def test_of_an_answer_and_a_cancellation_at_the_same_time_both_are_told_what_became_of_it(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    for _ in range(5):
        run_id = await bench.interrupted(first)
        outcomes = await asyncio.gather(
            first.resume(bench.tenant.id, run_id, APPROVE),
            second.cancel(bench.tenant.id, run_id),
            return_exceptions=True,
        )
        events = await bench.read(second, run_id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        if isinstance(outcomes[0], DormouseError):
            assert outcomes[0].reason == ErrorReason.ERROR_REASON_CONFLICT
            assert kinds(events)[-2:] == ["run_interrupted", "run_cancelled"]
        else:
            assert "run_resumed" in kinds(events)
            assert kinds(events)[-1] in ("run_finished", "run_cancelled")
