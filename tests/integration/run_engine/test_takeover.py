"""Replicas that die, freeze or stop, and what becomes of their runs."""

import asyncio
from collections.abc import AsyncGenerator

from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest
from dormouse.agent.v1.run_event_pb2 import CancelCause, RunEvent
from edge.runs import RunEngine
from edge.runs.model import OnDisconnect, RunStatus

from tests.integration.run_engine.conftest import Bench, eventually, kinds, text_of
from tests.integration.run_engine.scripted_agent import delta, ended, finished, started


def says_one_then_waits(bench: Bench) -> None:
    """Scripts an agent whose first attempt stops after a word, and whose later ones finish the sentence."""

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield started()
        if not request.HasField("recovery"):
            yield delta("one ")
            await asyncio.Event().wait()
        yield delta("two")
        yield ended()
        yield finished()

    bench.agent.script = script


async def test_a_run_whose_replica_died_is_finished_by_another(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    says_one_then_waits(bench)
    run_id = await first.start(bench.spec(on_disconnect=OnDisconnect.CONTINUE))
    await bench.said(first, run_id, "one ")
    await bench.kill(first)
    events = await bench.read(second, run_id)
    assert text_of(events) == "one two"
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert (await second.get(bench.tenant.id, run_id)).status is RunStatus.COMPLETED


async def test_a_reader_on_the_other_replica_sees_every_event_once(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    says_one_then_waits(bench)
    run_id = await first.start(bench.spec(on_disconnect=OnDisconnect.CONTINUE))
    reading = asyncio.create_task(bench.read(second, run_id))
    await bench.said(first, run_id, "one ")
    await bench.kill(first)
    events = await reading
    assert text_of(events) == "one two"
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


async def test_a_run_that_ends_with_its_client_is_cancelled_by_who_takes_it_over(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    says_one_then_waits(bench)
    run_id = await first.start(bench.spec(on_disconnect=OnDisconnect.CANCEL))
    await bench.said(first, run_id, "one ")
    await bench.kill(first)
    events = await bench.read(second, run_id)
    assert events[-1].run_cancelled.cause == CancelCause.CANCEL_CAUSE_DISCONNECTED


async def test_a_replica_that_was_frozen_cannot_write_to_a_run_it_has_lost(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    go_on = asyncio.Event()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield started()
        if not request.HasField("recovery"):
            yield delta("one ")
            await go_on.wait()
            yield delta("stale")
            await asyncio.Event().wait()
        yield delta("two")
        yield ended()
        yield finished()

    bench.agent.script = script
    run_id = await first.start(bench.spec(on_disconnect=OnDisconnect.CONTINUE))
    reading = asyncio.create_task(bench.read(first, run_id))
    await bench.said(first, run_id, "one ")
    bench.silence_heartbeat(first)
    assert text_of(await bench.read(second, run_id)) == "one two"
    go_on.set()
    # The frozen replica's own reader is led to the new owner's log.
    assert text_of(await reading) == "one two"


async def test_a_replica_that_was_frozen_cannot_end_a_run_it_has_lost(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    go_on = asyncio.Event()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield started()
        if request.HasField("recovery"):
            yield delta("two ")
            await asyncio.Event().wait()
        yield delta("one ")
        await go_on.wait()
        yield ended()
        yield finished()

    bench.agent.script = script
    run_id = await first.start(bench.spec(on_disconnect=OnDisconnect.CONTINUE))
    stale = asyncio.create_task(bench.read(first, run_id))
    await bench.said(first, run_id, "one ")
    bench.silence_heartbeat(first)
    await bench.said(second, run_id, "two ")
    third = await bench.replica()
    go_on.set()
    await eventually(lambda: has_let_go(first, run_id))
    assert (await third.get(bench.tenant.id, run_id)).status is RunStatus.RUNNING
    assert (await third.cancel(bench.tenant.id, run_id)).status is RunStatus.CANCELLED
    assert kinds(await stale)[-1] == "run_cancelled"


async def has_let_go(engine: RunEngine, run_id: str) -> bool:
    return run_id not in engine._executions


async def test_a_replica_that_stops_in_order_frees_its_runs_at_once(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    says_one_then_waits(bench)
    run_id = await first.start(bench.spec(on_disconnect=OnDisconnect.CONTINUE, stored=True))
    await bench.said(first, run_id, "one ")
    await bench.stop(first)
    assert kinds(await bench.read(second, run_id))[-1] == "run_finished"
    assert (await second.list(bench.tenant.id)).runs[0].status is RunStatus.COMPLETED


async def test_several_replicas_share_what_a_dead_one_left_without_doing_it_twice(bench: Bench) -> None:
    first, *others = [await bench.replica() for _ in range(4)]
    says_one_then_waits(bench)
    run_ids = [await first.start(bench.spec(on_disconnect=OnDisconnect.CONTINUE)) for _ in range(20)]
    await bench.kill(first)
    logs = await asyncio.gather(*(bench.read(others[index % 3], run_id) for index, run_id in enumerate(run_ids)))
    assert [kinds(log)[-1] for log in logs] == ["run_finished"] * 20
    repeated = [request.run_id for request in bench.agent.requests if request.HasField("recovery")]
    assert sorted(repeated) == sorted(run_ids)
