"""Replicas die, freeze, or lose a store around an interrupt: the run goes on, once, or says that it does not."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import pytest
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest
from dormouse.agent.v1.run_event_pb2 import CancelCause, RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from edge.runs import RunEngine, resumption
from edge.runs import engine as engine_module
from edge.runs.model import OnDisconnect, RunStatus

from tests.integration.run_engine.conftest import Bench, Gate, eventually, kinds
from tests.integration.run_engine.scripted_agent import asking, delta, finished
from tests.stack import Fleet

APPROVE = {"c1.approval": {"action": "approve"}}


def gate_to_memory(engine: RunEngine) -> Gate:
    """Stops a resumption behind the row, before anybody but Postgres knows of it."""
    return Gate(engine._resumptions._store, "resume", before=False)


def whole(events: list[RunEvent]) -> bool:
    return [event.seq for event in events] == list(range(1, len(events) + 1))


async def ask(bench: Bench, engine: RunEngine, **fields: Any) -> str:
    """Starts a run that will ask, and does not wait for it."""
    bench.agent.script = asking("c1")
    return await engine.start(bench.spec(stored=True, can_interrupt=True, **fields))


async def status(bench: Bench, run_id: str) -> str:
    (row,) = await bench.sql("select status from runs where id = %s", run_id)
    return str(row["status"])


@pytest.mark.parametrize("redis", ["remembers", "has forgotten"])
async def test_answers_that_were_taken_by_a_replica_that_died_are_acted_on_by_another(bench: Bench, redis: str) -> None:
    first, second = await bench.replica(), await bench.replica()
    run_id = await bench.interrupted(first)
    if redis == "has forgotten":
        await bench.forget(run_id)
    gate = gate_to_memory(first)
    lost = asyncio.create_task(first.resume(bench.tenant.id, run_id, APPROVE))
    await gate.reached.wait()
    await bench.kill(first)
    await asyncio.wait([lost])
    assert await status(bench, run_id) == "running"

    async def is_over() -> bool:
        return await status(bench, run_id) == "completed"

    await eventually(is_over)
    events = await bench.read(second, run_id)
    assert whole(events)
    assert kinds(events).count("run_resumed") == 1
    assert kinds(events)[-1] == "run_finished"
    assert len(bench.agent.requests) == 2


async def test_a_client_that_sends_its_answers_again_elsewhere_follows_what_comes_of_them(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    run_id = await bench.interrupted(first)
    gate = gate_to_memory(first)
    lost = asyncio.create_task(first.resume(bench.tenant.id, run_id, APPROVE))
    await gate.reached.wait()
    again = asyncio.create_task(second.resume(bench.tenant.id, run_id, APPROVE))
    reading = asyncio.create_task(bench.read(second, run_id))
    await bench.kill(first)
    await asyncio.wait([lost])
    after = await again
    events = await bench.read(second, run_id, after)
    assert kinds(events)[0] == "run_resumed"
    assert kinds(events)[-1] == "run_finished"
    assert kinds(await reading)[-1] == "run_finished"
    assert len(bench.agent.requests) == 2


async def test_a_reader_who_has_answers_from_postgres_before_redis_does_waits_for_the_rest(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    run_id = await bench.interrupted(first)
    interrupted = await bench.read(second, run_id)
    assert kinds(interrupted)[-1] == "run_interrupted"

    async def follow() -> list[RunEvent]:
        behind_the_answers = second._reader.follow(run_id, interrupted[-1].seq + 1)
        return [event async for batch in behind_the_answers for event in batch]

    following = asyncio.create_task(follow())
    await first.resume(bench.tenant.id, run_id, APPROVE)
    assert kinds(await following)[-1] == "run_finished"


async def test_a_replica_that_was_frozen_with_the_answers_finds_the_run_gone_on_with(bench: Bench) -> None:
    first, _second = await bench.replica(), await bench.replica()
    run_id = await bench.interrupted(first)
    gate = gate_to_memory(first)
    stale = asyncio.create_task(first.resume(bench.tenant.id, run_id, APPROVE))
    await gate.reached.wait()
    bench.silence_heartbeat(first)

    async def is_over() -> bool:
        return await status(bench, run_id) == "completed"

    await eventually(is_over)
    gate.opened.set()
    after = await stale
    assert kinds(await bench.read(first, run_id, after))[-1] == "run_finished"
    assert whole(await bench.read(first, run_id))
    assert len(bench.agent.requests) == 2


async def test_a_run_that_nobody_remembers_is_found_by_who_sweeps(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumption, "LEFT_AGE", timedelta())
    first = await bench.replica()
    run_id = await bench.interrupted(first)
    gate = gate_to_memory(first)
    lost = asyncio.create_task(first.resume(bench.tenant.id, run_id, APPROVE))
    await gate.reached.wait()
    await bench.stop(first)  # its heartbeat is gone with it
    await asyncio.wait([lost])
    await bench.forget(run_id)
    second = await bench.replica()

    async def is_found() -> bool:
        await second._resumptions.adopt_left()
        return await status(bench, run_id) == "completed"

    await eventually(is_found)
    assert whole(await bench.read(second, run_id))


@pytest.mark.parametrize(
    ("moment", "choice"),
    [
        ("before the row", OnDisconnect.CONTINUE),
        ("behind the row", OnDisconnect.CONTINUE),
        # The question stands already: it is no longer the client's alone.
        ("behind the row", OnDisconnect.CANCEL),
    ],
)
async def test_a_run_whose_replica_died_at_the_question_still_asks_it(
    bench: Bench, moment: str, choice: OnDisconnect
) -> None:
    first, second = await bench.replica(), await bench.replica()
    gate = Gate(first._store, "finish", before=moment == "before the row")
    run_id = await ask(bench, first, on_disconnect=choice)
    await gate.reached.wait()
    await bench.kill(first)
    events = await bench.read(second, run_id)
    assert kinds(events)[-1] == "run_interrupted"
    assert whole(events)
    after = await second.resume(bench.tenant.id, run_id, APPROVE)
    assert kinds(await bench.read(second, run_id, after))[-1] == "run_finished"
    events = await bench.read(second, run_id)
    assert whole(events)
    assert kinds(events).count("run_interrupted") == 1


async def test_a_question_is_answered_before_anybody_has_taken_over_from_who_asked_it(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    gate = Gate(first._store, "finish", before=False)
    run_id = await ask(bench, first, on_disconnect=OnDisconnect.CONTINUE)
    await gate.reached.wait()
    after = await second.resume(bench.tenant.id, run_id, APPROVE)
    assert kinds(await bench.read(second, run_id, after))[-1] == "run_finished"
    gate.opened.set()
    # Who asked comes too late to say that it has.
    assert kinds(await bench.read(first, run_id))[-1] == "run_finished"
    assert (await first.get(bench.tenant.id, run_id)).status is RunStatus.COMPLETED


async def test_a_run_that_is_answered_where_it_is_still_being_asked_has_one_owner(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    gate = Gate(first._store, "finish", before=False)
    run_id = await ask(bench, first, on_disconnect=OnDisconnect.CONTINUE)
    await gate.reached.wait()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield delta("answered ", "m2")
        if len(bench.agent.requests) == 2:
            await asyncio.Event().wait()
        yield finished()

    bench.agent.script = script
    after = await first.resume(bench.tenant.id, run_id, APPROVE)
    gate.opened.set()
    await bench.said(first, run_id, "answered ")
    assert (await second.get(bench.tenant.id, run_id)).status is RunStatus.RUNNING
    await bench.kill(first)
    events = await bench.read(second, run_id)
    assert whole(events)
    assert kinds(events)[after:][0] == "run_resumed"
    assert kinds(events)[-1] == "run_finished"


async def test_a_question_asked_while_the_database_is_away_is_answered_when_it_is_back(
    bench: Bench, fleet: Fleet
) -> None:
    database = await fleet.postgres()
    dying, living = [await bench.replica(database_url=database.url) for _ in range(2)]
    ask_now = asyncio.Event()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent | list[RunEvent], None]:
        await ask_now.wait()
        async for said in asking("c1")(request):
            yield said

    bench.agent.script = script
    runs = [await engine.start(bench.spec(stored=True, can_interrupt=True)) for engine in (dying, living)]
    await database.stop()
    ask_now.set()
    for engine, run_id in zip((dying, living), runs, strict=True):
        assert kinds(await bench.read(engine, run_id))[-1] == "run_interrupted"
    with pytest.raises(DormouseError) as refused:
        await living.resume(bench.tenant.id, runs[1], APPROVE)
    assert refused.value.reason == ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE
    await bench.kill(dying)  # what became of its run is in Redis only
    await database.resume()

    async def answered() -> bool:
        try:
            await asyncio.gather(*(living.resume(bench.tenant.id, run_id, APPROVE) for run_id in runs))
        except DormouseError:
            return False
        return True

    await eventually(answered, 10)
    for run_id in runs:
        events = await bench.read(living, run_id)
        assert whole(events)
        assert kinds(events)[-1] == "run_finished"


async def test_a_run_is_answered_while_redis_is_away_and_its_log_is_whole_when_it_returns(
    bench: Bench, fleet: Fleet
) -> None:
    valkey = await fleet.valkey()
    first, second = await bench.replica(valkey.url), await bench.replica(valkey.url)
    run_id = await bench.interrupted(first)
    await valkey.process.kill()
    after = await first.resume(bench.tenant.id, run_id, APPROVE)
    events = await bench.read(first, run_id, after)
    assert kinds(events)[-1] == "run_finished"
    assert not first.resume_available
    assert (await second.get(bench.tenant.id, run_id)).status is RunStatus.COMPLETED
    assert (await bench.read(second, run_id))[after:] == events
    await valkey.start()

    async def is_back() -> bool:
        return first.resume_available

    await eventually(is_back)
    assert (await bench.read(second, run_id))[after:] == events


async def test_a_run_that_waits_is_cancelled_while_redis_is_away(bench: Bench, fleet: Fleet) -> None:
    valkey = await fleet.valkey()
    engine = await bench.replica(valkey.url)
    run_id = await bench.interrupted(engine)
    await valkey.process.kill()
    assert (await engine.cancel(bench.tenant.id, run_id)).status is RunStatus.CANCELLED
    await valkey.start()
    assert kinds(await bench.read(engine, run_id))[-2:] == ["run_interrupted", "run_cancelled"]


async def test_a_run_that_is_cancelled_while_it_asks_does_not_wait(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "CANCEL_WAIT_S", 0.1)
    first, second = await bench.replica(), await bench.replica()
    for canceller in (first, second):
        gate = Gate(first._store, "finish", before=False)
        run_id = await ask(bench, first)
        await gate.reached.wait()
        await canceller.cancel(bench.tenant.id, run_id)  # gives up before it is
        gate.opened.set()

        async def is_over(run_id: str = run_id) -> bool:
            return await status(bench, run_id) == "cancelled"

        await eventually(is_over)
        events = await bench.read(second, run_id)
        assert kinds(events)[-2:] == ["run_interrupted", "run_cancelled"]
        assert events[-1].run_cancelled.cause == CancelCause.CANCEL_CAUSE_REQUESTED
        assert whole(events)


async def test_a_replica_that_was_frozen_with_its_question_asks_it_no_more(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    gate, go_on = Gate(first._store, "finish", before=True), asyncio.Event()
    run_id = await ask(bench, first, on_disconnect=OnDisconnect.CONTINUE)
    await gate.reached.wait()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield delta("without asking", "m2")
        await go_on.wait()
        yield finished()

    bench.agent.script = script
    reading = asyncio.create_task(bench.read(first, run_id))
    bench.silence_heartbeat(first)
    await bench.said(second, run_id, "without asking")
    gate.opened.set()

    async def has_let_go() -> bool:
        return run_id not in first._executions

    await eventually(has_let_go)
    assert await status(bench, run_id) == "running"
    go_on.set()
    assert kinds(await bench.read(second, run_id))[-1] == "run_finished"
    assert kinds(await reading)[-1] == "run_finished"
    assert await status(bench, run_id) == "completed"
