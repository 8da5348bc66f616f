"""Artifacts: what a run writes is stored before it says so, whatever dies in between; versions, and their cache."""

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator
from typing import Any

import jsonpatch
import pytest
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest
from dormouse.agent.v1.run_event_pb2 import RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from edge.artifacts.comparison import compare
from edge.runs import RunEngine
from edge.runs.model import MultitaskStrategy, OnDisconnect, RunStatus

from tests.integration.run_engine.conftest import Bench, kinds
from tests.integration.run_engine.scripted_agent import Script, base, delta, finished, interrupted, saved, writes
from tests.stack import Fleet


def new_id() -> str:
    return f"art_{secrets.token_hex(12)}"


def first_version(*lines: str) -> str:
    whole = {"title": "Notes", "media_type": "text/markdown", "lines": list(lines)}
    return json.dumps([{"op": "add", "path": "", "value": whole}])


def add_line(text: str) -> str:
    return json.dumps([{"op": "add", "path": "/lines/-", "value": text}])


def writing(artifact_id: str, *versions: tuple[int, list[str]]) -> Script:
    """A script that writes versions, each of some patches, whatever the log holds already."""

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent | list[RunEvent], None]:
        yield base("checkpoint-1")
        for version, patches in versions:
            for patch in patches:
                yield writes(artifact_id, version, patch)
            yield saved(artifact_id, version)
        yield finished()

    return script


async def written(bench: Bench, engine: RunEngine, script: Script, **fields: Any) -> tuple[str, list[RunEvent]]:
    """Runs a script to its end: the run's id and its log."""
    bench.agent.script = script
    run_id = await engine.start(bench.spec(stored=True, on_disconnect=OnDisconnect.CONTINUE, **fields))
    return run_id, await bench.read(engine, run_id)


def documents(events: list[RunEvent]) -> list[str]:
    """What the deltas of a log make of each version, as a client sees it."""
    document, seen = None, []
    for event in events:
        if event.HasField("artifact_delta"):
            document = jsonpatch.apply_patch(document, json.loads(event.artifact_delta.patch_json))
        elif event.HasField("artifact_saved"):
            assert document is not None
            seen.append("\n".join(document["lines"]))
    return seen


async def missing(engine: RunEngine, bench: Bench, artifact_id: str, version: int | None = None) -> None:
    with pytest.raises(DormouseError) as refusal:
        await bench.artifacts[engine].get(bench.tenant.id, artifact_id, version)
    assert refusal.value.reason == ErrorReason.ERROR_REASON_ARTIFACT_NOT_FOUND


async def test_a_version_is_in_the_database_before_its_event_is_in_the_log(bench: Bench) -> None:
    engine = await bench.replica()
    store, artifact_id = bench.artifacts[engine], new_id()
    thread_id = await bench.thread()
    bench.agent.script = writing(artifact_id, (1, [first_version("# One")]), (2, [add_line("two"), add_line("")]))
    run_id = await engine.start(bench.spec(thread_id=thread_id))
    async for batch in engine.events(bench.tenant.id, run_id):
        for event in batch:
            if event.HasField("artifact_saved"):
                await store.get(bench.tenant.id, artifact_id, event.artifact_saved.version)
    latest = await store.get(bench.tenant.id, artifact_id)
    assert latest.content == "# One\ntwo\n"
    about = latest.about
    assert (about.version, about.latest, about.title, about.media_type) == (2, 2, "Notes", "text/markdown")
    assert (about.run_id, about.thread_id, about.size_bytes) == (run_id, thread_id, 10)
    earlier = await store.get(bench.tenant.id, artifact_id, 1)
    assert (earlier.content, earlier.about.latest) == ("# One", 2)
    assert compare(earlier, latest).splitlines()[-2:] == ["+two", "+"]
    page = await store.versions(bench.tenant.id, artifact_id, limit=1)
    assert ([version.version for version in page.versions], page.has_more) == ([2], True)
    page = await store.versions(bench.tenant.id, artifact_id, before=2)
    assert ([version.version for version in page.versions], page.has_more) == ([1], False)
    await missing(engine, bench, artifact_id, 3)
    await missing(engine, bench, new_id())
    await missing(engine, bench, "nonsense")
    with pytest.raises(DormouseError):
        await store.get("somebody-else", artifact_id)


async def test_a_run_starts_from_what_its_thread_holds_and_every_attempt_from_the_same(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    thread_id, artifact_id, other = await bench.thread(), new_id(), new_id()
    await written(bench, first, writing(artifact_id, (1, [first_version("one")])), thread_id=thread_id)
    await written(bench, first, writing(other, (1, [first_version("other")])), thread_id=thread_id)
    reached = asyncio.Event()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield base("checkpoint-1")
        yield writes(artifact_id, 2, add_line("two"))
        yield saved(artifact_id, 2)
        if not request.HasField("recovery"):
            yield delta("told")
            reached.set()
            await asyncio.Event().wait()
        yield writes(artifact_id, 3, add_line("three"))
        yield saved(artifact_id, 3)
        yield finished()

    bench.agent.script = script
    run_id = await first.start(bench.spec(thread_id=thread_id, on_disconnect=OnDisconnect.CONTINUE))
    await reached.wait()
    await bench.said(first, run_id, "told")
    await bench.kill(first)
    events = await bench.read(second, run_id)
    assert kinds(events)[-1] == "run_finished"
    assert [event.artifact_saved.version for event in events if event.HasField("artifact_saved")] == [2, 3]
    one, two = bench.agent.requests[-2:]
    assert [(a.id, a.version, a.content) for a in one.artifacts] == [(other, 1, "other"), (artifact_id, 1, "one")]
    assert one.artifacts == two.artifacts
    assert (await bench.artifacts[second].get(bench.tenant.id, artifact_id)).content == "one\ntwo\nthree"


@pytest.mark.parametrize(
    ("again", "deltas"),
    [(["first"], 2), (["first", "second"], 3), (["first and more"], 3), (["second", "first"], 3)],
    ids=["the same", "more", "another text", "more at the front"],
)
async def test_a_version_that_was_not_complete_is_told_anew_and_seen_once(
    bench: Bench, again: list[str], deltas: int
) -> None:
    engine = await bench.replica()
    artifact_id = new_id()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        is_first = not request.HasField("recovery")
        yield writes(artifact_id, 1, first_version())
        for line in ["first"] if is_first else again:
            yield writes(artifact_id, 1, add_line(line))
        if is_first:
            raise RuntimeError("the function dies")
        yield saved(artifact_id, 1)
        yield finished()

    _, events = await written(bench, engine, script)
    assert kinds(events)[-1] == "run_finished"
    content = "\n".join(again)
    assert documents(events) == [content]
    assert (await bench.artifacts[engine].get(bench.tenant.id, artifact_id)).content == content
    assert kinds(events).count("artifact_delta") == deltas


async def test_a_replica_that_died_between_the_version_and_its_event_leaves_one_version(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    artifact_id, stored = new_id(), asyncio.Event()
    save = bench.artifacts[first].save

    async def save_and_hang(*values: object, **named: object) -> bool:
        await save(*values, **named)  # type: ignore[arg-type]
        stored.set()
        await asyncio.Event().wait()
        return True

    bench.artifacts[first].save = save_and_hang  # type: ignore[method-assign]

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent | list[RunEvent], None]:
        text = "second thoughts" if request.HasField("recovery") else "first thoughts"
        yield [writes(artifact_id, 1, first_version(text)), saved(artifact_id, 1)]
        yield finished()

    bench.agent.script = script
    run_id = await first.start(bench.spec(stored=True, on_disconnect=OnDisconnect.CONTINUE))
    await stored.wait()
    await bench.artifacts[second].get(bench.tenant.id, artifact_id)  # fills the cache with what will not last
    await bench.kill(first)
    events = await bench.read(second, run_id)
    assert documents(events) == ["second thoughts"]
    page = await bench.artifacts[second].versions(bench.tenant.id, artifact_id)
    assert len(page.versions) == 1
    assert (await bench.artifacts[second].get(bench.tenant.id, artifact_id)).content == "second thoughts"


async def test_an_owner_that_was_frozen_cannot_store_over_who_has_taken_over(bench: Bench) -> None:
    first, second = await bench.replica(), await bench.replica()
    artifact_id, reached, go_on = new_id(), asyncio.Event(), asyncio.Event()
    save = bench.artifacts[first].save

    async def save_late(*values: object, **named: object) -> bool:
        reached.set()
        await go_on.wait()
        return await save(*values, **named)  # type: ignore[arg-type]

    bench.artifacts[first].save = save_late  # type: ignore[method-assign]

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield writes(artifact_id, 1, first_version("new" if request.HasField("recovery") else "stale"))
        yield saved(artifact_id, 1)
        yield finished()

    bench.agent.script = script
    run_id = await first.start(bench.spec(stored=True, on_disconnect=OnDisconnect.CONTINUE))
    await reached.wait()
    reading = asyncio.create_task(bench.read(first, run_id))
    bench.silence_heartbeat(first)
    assert documents(await bench.read(second, run_id)) == ["new"]
    go_on.set()
    assert documents(await reading) == ["new"]
    assert (await bench.artifacts[second].get(bench.tenant.id, artifact_id)).content == "new"


async def test_a_run_whose_version_cannot_be_stored_fails_and_says_why(bench: Bench, fleet: Fleet) -> None:
    database = await fleet.postgres()
    engine = await bench.replica(database_url=database.url)
    artifact_id, go_on = new_id(), asyncio.Event()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield writes(artifact_id, 1, first_version("lost"))
        await go_on.wait()
        yield saved(artifact_id, 1)
        yield finished()

    bench.agent.script = script
    run_id = await engine.start(bench.spec(stored=True))
    await database.stop()
    go_on.set()
    events = await bench.read(engine, run_id)
    assert events[-1].run_failed.reason == ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE
    assert "artifact_saved" not in kinds(events)


@pytest.mark.parametrize(
    "versions",
    [
        [(1, ["not json"])],
        [(1, [add_line("into nothing")])],
        [(1, ['[{"op": "add", "path": "", "value": {"title": 1}}]'])],
        [(2, [first_version("no first")])],
        [(1, [first_version("x" * 300_000)])],
    ],
    ids=["no patch", "does not fit", "no document", "a gap", "too long"],
)
async def test_what_is_no_artifact_fails_the_run(bench: Bench, versions: list[tuple[int, list[str]]]) -> None:
    engine = await bench.replica()
    artifact_id = new_id()
    _, events = await written(bench, engine, writing(artifact_id, *versions))
    assert events[-1].run_failed.reason == ErrorReason.ERROR_REASON_INTERNAL
    await missing(engine, bench, artifact_id)


async def test_a_run_that_is_not_stored_keeps_no_artifact(bench: Bench) -> None:
    engine = await bench.replica()
    artifact_id = new_id()
    bench.agent.script = writing(artifact_id, (1, [first_version("gone")]))
    events = await bench.read(engine, await engine.start(bench.spec()))
    assert documents(events) == ["gone"]
    await missing(engine, bench, artifact_id)


async def test_an_old_version_is_restored_as_a_new_one_while_nobody_writes(bench: Bench) -> None:
    engine = await bench.replica()
    store, artifact_id, thread_id = bench.artifacts[engine], new_id(), await bench.thread()
    script = writing(artifact_id, (1, [first_version("one")]), (2, [add_line("two")]))
    await written(bench, engine, script, thread_id=thread_id)
    restored = await store.restore(bench.tenant.id, artifact_id, 1)
    about = restored.about
    assert (restored.content, about.version, about.restored_from, about.run_id) == ("one", 3, 1, None)
    # Once more it is what it is already.
    assert (await store.restore(bench.tenant.id, artifact_id, 1)).about.version == 3
    await asyncio.gather(*(store.restore(bench.tenant.id, artifact_id, 2) for _ in range(4)))
    page = await store.versions(bench.tenant.id, artifact_id)
    assert [version.version for version in page.versions] == [4, 3, 2, 1]
    with pytest.raises(DormouseError) as refusal:
        await store.restore(bench.tenant.id, artifact_id, 9)
    assert refusal.value.reason == ErrorReason.ERROR_REASON_ARTIFACT_NOT_FOUND
    waiting = await bench.interrupted(engine, thread_id=thread_id)
    with pytest.raises(DormouseError) as refusal:
        await store.restore(bench.tenant.id, artifact_id, 1)
    assert refusal.value.reason == ErrorReason.ERROR_REASON_CONFLICT
    await engine.cancel(bench.tenant.id, waiting)
    assert (await store.restore(bench.tenant.id, artifact_id, 1)).about.version == 5
    # A run goes on from what was restored.
    await written(bench, engine, writing(artifact_id, (6, [add_line("six")])), thread_id=thread_id)
    assert (await store.get(bench.tenant.id, artifact_id)).content == "one\nsix"


async def test_an_artifact_is_not_restored_under_a_run_without_a_thread_that_writes_it(bench: Bench) -> None:
    engine = await bench.replica()
    store, artifact_id = bench.artifacts[engine], new_id()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield writes(artifact_id, 1, first_version("one"))
        yield saved(artifact_id, 1)
        yield interrupted("c1")

    run_id, _ = await written(bench, engine, script, can_interrupt=True)
    with pytest.raises(DormouseError) as refusal:
        await store.restore(bench.tenant.id, artifact_id, 1)
    assert refusal.value.details == {"run_id": run_id}


async def test_every_replica_sees_a_new_version_at_once_with_the_cache_and_without(bench: Bench, fleet: Fleet) -> None:
    valkey = await fleet.valkey()
    first, second = await bench.replica(valkey.url), await bench.replica(valkey.url)
    artifact_id, thread_id = new_id(), await bench.thread()
    for version in (1, 2, 3):
        patch = first_version("1") if version == 1 else add_line(str(version))
        await written(bench, first, writing(artifact_id, (version, [patch])), thread_id=thread_id)
        for engine in (second, first, second):
            latest = await bench.artifacts[engine].get(bench.tenant.id, artifact_id)
            assert latest.content.split("\n")[-1] == str(version)
    await bench.sql("update artifact_versions set content = 'not from the cache' where version = 3")
    assert (await bench.artifacts[first].get(bench.tenant.id, artifact_id)).content == "1\n2\n3"
    await valkey.process.kill()
    for engine in (first, second):
        assert (await bench.artifacts[engine].get(bench.tenant.id, artifact_id)).content == "not from the cache"


async def test_a_rolled_back_run_leaves_no_version_and_its_numbers_are_used_again(bench: Bench) -> None:
    engine = await bench.replica()
    store, artifact_id, only_there, thread_id = bench.artifacts[engine], new_id(), new_id(), await bench.thread()
    await written(bench, engine, writing(artifact_id, (1, [first_version("one")])), thread_id=thread_id)

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield base("checkpoint-1")
        yield writes(artifact_id, 2, add_line("regretted"))
        yield saved(artifact_id, 2)
        yield writes(only_there, 1, first_version("regretted"))
        yield saved(only_there, 1)
        yield interrupted("c1")

    await written(bench, engine, script, thread_id=thread_id, can_interrupt=True)
    assert (await store.get(bench.tenant.id, artifact_id)).content == "one\nregretted"
    later, events = await written(
        bench,
        engine,
        writing(artifact_id, (2, [add_line("better")])),
        thread_id=thread_id,
        multitask_strategy=MultitaskStrategy.ROLLBACK,
    )
    assert kinds(events)[-1] == "run_finished"
    assert [(a.id, a.version) for a in bench.agent.requests[-1].artifacts] == [(artifact_id, 1)]
    latest = await store.get(bench.tenant.id, artifact_id)
    assert (latest.content, latest.about.version, latest.about.run_id) == ("one\nbetter", 2, later)
    await missing(engine, bench, only_there)


async def test_artifacts_are_listed_by_thread_newest_first_and_go_with_it(bench: Bench) -> None:
    engine = await bench.replica()
    store, threads = bench.artifacts[engine], [await bench.thread() for _ in range(2)]
    ids = [new_id() for _ in range(3)]
    for number, artifact_id in enumerate(ids):
        script = writing(artifact_id, (1, [first_version(str(number))]))
        await written(bench, engine, script, thread_id=threads[number % 2])
    page = await store.page(bench.tenant.id, limit=2)
    assert ([about.artifact_id for about in page.artifacts], page.has_more) == ([ids[2], ids[1]], True)
    page = await store.page(bench.tenant.id, limit=2, after=ids[1])
    assert ([about.artifact_id for about in page.artifacts], page.has_more) == ([ids[0]], False)
    page = await store.page(bench.tenant.id, limit=9, thread_id=threads[0])
    assert [about.artifact_id for about in page.artifacts] == [ids[2], ids[0]]
    assert not (await store.page("somebody-else", limit=9)).artifacts
    await bench.sql("delete from threads where id = %s", threads[0])
    await missing(engine, bench, ids[2])
    assert [about.artifact_id for about in (await store.page(bench.tenant.id, limit=9)).artifacts] == [ids[1]]


async def test_a_run_with_artifacts_has_the_status_it_ended_with(bench: Bench) -> None:
    engine = await bench.replica()
    run_id, _ = await written(bench, engine, writing(new_id(), (1, [first_version("\0 \ud83d\ude00")])))
    assert (await engine.get(bench.tenant.id, run_id)).status is RunStatus.COMPLETED
