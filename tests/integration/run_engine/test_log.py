"""The log of a run: its order, its readers, and what Redis has of it."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest
from dormouse.agent.v1.run_event_pb2 import RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from edge.runs.model import RunStatus

from tests.integration.run_engine.conftest import Bench, kinds, text_of
from tests.integration.run_engine.scripted_agent import delta, ended, finished, saying, started, usage


async def test_a_log_starts_with_run_started_and_ends_with_one_terminal_event(bench: Bench) -> None:
    engine = await bench.replica()
    bench.agent.script = saying("one ", "two ", "three")
    run_id = await engine.start(bench.spec())
    events = await bench.read(engine, run_id)
    assert kinds(events)[0] == "run_started"
    assert kinds(events)[-1] == "run_finished"
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert text_of(events) == "one two three"


async def test_a_finished_run_is_read_from_any_replica(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    bench.agent.script = saying("one ", "two")
    run_id = await first.start(bench.spec())
    local = await bench.read(first, run_id)
    assert await bench.read(second, run_id) == local
    assert await bench.read(second, run_id, after=3) == local[3:]
    record = await second.get(bench.tenant.id, run_id)
    assert (record.status, record.finish_reason, record.usage.completion_tokens) == (RunStatus.COMPLETED, "stop", 2)


async def test_another_replica_follows_a_run_as_it_happens(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    go_on = asyncio.Event()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield started()
        yield delta("before ")
        await go_on.wait()
        yield delta("after")
        yield ended()
        yield finished()

    bench.agent.script = script
    run_id = await first.start(bench.spec())
    seen: list[RunEvent] = []
    async for batch in second.events(bench.tenant.id, run_id):
        seen += batch
        if text_of(seen) == "before ":
            go_on.set()
    assert text_of(seen) == "before after"
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))


async def test_many_readers_at_different_places_read_the_same_log(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    words = [f"w{index} " for index in range(300)]

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield started()
        for word in words:
            yield delta(word)
            await asyncio.sleep(0)
        yield ended()
        yield usage(300)
        yield finished()

    bench.agent.script = script
    run_id = await first.start(bench.spec())
    readers = [bench.read(engine, run_id) for engine in (first, second) for _ in range(5)]
    logs = await asyncio.gather(*readers)
    assert text_of(logs[0]) == "".join(words)
    assert all(log == logs[0] for log in logs)
    for after in (1, 2, logs[0][-1].seq - 1):
        assert await bench.read(second, run_id, after) == logs[0][after:]


async def test_a_run_of_another_tenant_does_not_exist(bench: Bench, stack: object) -> None:
    engine = await bench.replica()
    run_id = await engine.start(bench.spec())
    for attempt in (engine.get, engine.cancel):
        with pytest.raises(DormouseError) as refusal:
            await attempt("somebody-else", run_id)
        assert refusal.value.reason == ErrorReason.ERROR_REASON_RUN_NOT_FOUND
    with pytest.raises(DormouseError) as refusal:
        async for _ in engine.events("somebody-else", run_id):
            pass
    assert refusal.value.reason == ErrorReason.ERROR_REASON_RUN_NOT_FOUND
