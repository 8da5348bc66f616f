"""What Postgres keeps of a run's log, and for how long."""

import zlib

import psycopg
import pytest
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from edge.database import Database
from edge.runs import RunEngine, retention
from edge.runs.durable_log import unpack
from edge.runs.model import OnDisconnect, RunStatus

from tests.integration.run_engine.conftest import Bench, kinds
from tests.integration.run_engine.scripted_agent import saying

APPROVE = {"c1.approval": {"action": "approve"}}


async def kept(bench: Bench, run_id: str) -> bytes:
    (row,) = await bench.sql("select data, last_seq from run_logs where run_id = %s", run_id)
    assert unpack(row["data"])[-1].seq == row["last_seq"]
    return bytes(row["data"])


async def age(bench: Bench, run_id: str, days: int) -> None:
    await bench.sql("update run_logs set kept_at = now() - make_interval(days => %s) where run_id = %s", days, run_id)


async def prune(bench: Bench, days: float = 30) -> int:
    database = Database(bench.stack.database.url)
    await database.open()
    try:
        return await retention.prune(database, days=days)
    finally:
        await database.close()


async def refused(bench: Bench, engine: RunEngine, run_id: str) -> str:
    with pytest.raises(DormouseError) as refusal:
        await bench.read(engine, run_id)
    assert refusal.value.reason == ErrorReason.ERROR_REASON_RUN_NOT_FOUND
    return refusal.value.message


async def test_the_stored_log_of_every_run_that_ended_is_the_one_that_readers_saw(bench: Bench) -> None:
    engine = await bench.replica()
    bench.agent.script = saying(*(f"w{n} " for n in range(300)))
    finished = await engine.start(bench.spec(stored=True))
    await bench.read(engine, finished)
    waiting = await bench.interrupted(engine)
    answered = await bench.interrupted(engine)
    await bench.read(engine, answered, await engine.resume(bench.tenant.id, answered, APPROVE))
    cancelled = await bench.interrupted(engine)
    await engine.cancel(bench.tenant.id, cancelled)
    bench.agent.refusal = ErrorReason.ERROR_REASON_MODEL_NOT_FOUND
    failed = await engine.start(bench.spec(stored=True))
    for run_id in (finished, waiting, answered, cancelled, failed):
        assert list(unpack(await kept(bench, run_id))) == await bench.read(engine, run_id)


async def test_a_run_that_is_not_stored_leaves_nothing(bench: Bench) -> None:
    engine = await bench.replica()
    run_id = await engine.start(bench.spec())
    await bench.read(engine, run_id)
    assert not await bench.sql("select from run_logs where run_id = %s", run_id)


async def test_events_and_trace_outlive_redis(bench: Bench) -> None:
    engine = await bench.replica()
    bench.agent.script = saying("one ", "two ", "three")
    run_id = await engine.start(bench.spec(stored=True))
    events = await bench.read(engine, run_id)
    assert await engine.trace_events(bench.tenant.id, run_id) == events
    await bench.forget(run_id)
    other = await bench.replica()
    assert await bench.read(other, run_id) == events
    assert await bench.read(other, run_id, 3) == events[3:]
    assert await bench.read(other, run_id, events[-1].seq) == []
    assert await other.trace_events(bench.tenant.id, run_id) == events
    await other.require_log(bench.tenant.id, run_id)
    for call in (other.require_log, other.trace_events):
        with pytest.raises(DormouseError) as refusal:
            await call("somebody-else", run_id)
        assert refusal.value.reason == ErrorReason.ERROR_REASON_RUN_NOT_FOUND


async def test_a_trace_of_a_run_that_goes_on_is_its_log_so_far(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    run_id = await first.start(bench.spec())
    for engine in (first, second):
        so_far = await engine.trace_events(bench.tenant.id, run_id)
        assert kinds(list(so_far))[0] == "run_started"


async def test_logs_are_dropped_when_they_are_old_and_their_runs_stay(bench: Bench) -> None:
    engine = await bench.replica()
    old, young = [await engine.start(bench.spec(stored=True)) for _ in range(2)]
    for run_id in (old, young):
        await bench.read(engine, run_id)
        await bench.forget(run_id)
    await age(bench, old, 31)
    assert await prune(bench) >= 1
    assert "expired" in await refused(bench, engine, old)
    assert (await engine.get(bench.tenant.id, old)).status is RunStatus.COMPLETED
    assert kinds(await bench.read(engine, young))[-1] == "run_finished"


async def test_a_question_that_nobody_answered_in_time_fails_its_run_and_frees_the_thread(bench: Bench) -> None:
    engine = await bench.replica()
    thread_id = await bench.thread()
    run_id = await bench.interrupted(engine, thread_id=thread_id)
    await bench.forget(run_id)
    await age(bench, run_id, 31)
    await prune(bench)
    record = await engine.get(bench.tenant.id, run_id)
    assert record.status is RunStatus.FAILED
    assert record.error is not None
    assert "30 days" in record.error.message
    assert "expired" in await refused(bench, engine, run_id)
    with pytest.raises(DormouseError) as refusal:
        await engine.resume(bench.tenant.id, run_id, APPROVE)
    assert refusal.value.reason == ErrorReason.ERROR_REASON_CONFLICT
    bench.agent.script = saying("hello")
    later = await engine.start(bench.spec(thread_id=thread_id, on_disconnect=OnDisconnect.CONTINUE))
    assert kinds(await bench.read(engine, later))[-1] == "run_finished"


async def test_logs_are_dropped_in_batches(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "PAUSE_S", 0)
    engine = await bench.replica()
    for _ in range(5):
        run_id = await engine.start(bench.spec(stored=True))
        await bench.read(engine, run_id)
        await age(bench, run_id, 40)
    await prune(bench, days=35)
    assert not await bench.sql("select from run_logs")


async def test_deleting_a_thread_deletes_the_logs_of_its_runs(bench: Bench) -> None:
    engine = await bench.replica()
    thread_id = await bench.thread()
    run_id = await engine.start(bench.spec(thread_id=thread_id))
    await bench.read(engine, run_id)
    assert await kept(bench, run_id)
    await bench.sql("delete from threads where id = %s", thread_id)
    assert not await bench.sql("select from run_logs where run_id = %s", run_id)


async def test_nobody_sees_the_log_of_another_tenant_and_only_the_functions_see_all(bench: Bench) -> None:
    engine = await bench.replica()
    run_id = await engine.start(bench.spec(stored=True))
    await bench.read(engine, run_id)
    for url in (bench.stack.database.url, bench.stack.database.owner_url):
        async with await psycopg.AsyncConnection.connect(url) as connection:
            for table in ("run_logs", "artifacts", "artifact_versions"):
                cursor = await connection.execute(f"select count(*) from {table}".encode())
                assert await cursor.fetchone() == (0,)
            await connection.execute("select prune_run_logs(now() - interval '99 days', 1, '{}')")
            assert await (await connection.execute("select count(*) from run_logs")).fetchone() == (0,)
    async with await psycopg.AsyncConnection.connect(bench.stack.database.url) as connection:
        await connection.execute("set dormouse.maintenance = 'on'")
        assert await (await connection.execute("select count(*) from run_logs")).fetchone() == (0,)


async def test_a_stored_log_is_a_fraction_of_what_it_says(bench: Bench) -> None:
    engine = await bench.replica()
    bench.agent.script = saying(*(f"{n} bottles " for n in range(500)))
    run_id = await engine.start(bench.spec(stored=True))
    await bench.read(engine, run_id)
    packed = await kept(bench, run_id)
    assert len(packed) < len(zlib.decompress(packed)) / 3
