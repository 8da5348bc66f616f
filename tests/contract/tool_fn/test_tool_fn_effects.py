"""A call with side effects happens once, whatever becomes of its caller, its process and the database."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from dormouse.common.v1 import error_pb2
from dormouse.tool.v1.tool_service_pb2 import InvokeRequest

from tests.contract.tool_fn.caller import OPERATOR_TOOLS, Caller, Result, appears, calling, refusal
from tests.stack import Database, Fleet, Stack, Tenant, ToolFn

E = error_pb2


@dataclass(frozen=True)
class Notes:
    """A file of the side effects, and one whose appearance ends them."""

    folder: Path

    @property
    def file(self) -> str:
        return str(self.folder / "notes")

    @property
    def until(self) -> str:
        return str(self.folder / "go")

    @property
    def lines(self) -> list[str]:
        path = self.folder / "notes"
        return path.read_text().splitlines() if path.exists() else []

    async def written(self) -> None:
        await appears(self.folder / "notes")

    def go(self) -> None:
        (self.folder / "go").touch()


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path)


@dataclass(frozen=True)
class Pair:
    """Two processes on one database, and a caller of each."""

    processes: tuple[ToolFn, ToolFn]
    callers: tuple[Caller, Caller]


@pytest.fixture
async def pair(stack: Stack, fleet: Fleet, tenant: Tenant) -> AsyncIterator[Pair]:
    first, second = await asyncio.gather(fleet.tool_fn(folder=OPERATOR_TOOLS), fleet.tool_fn(folder=OPERATOR_TOOLS))
    async with calling(stack, first, tenant) as one, calling(stack, second, tenant) as other:
        yield Pair((first, second), (one, other))


async def has_run_for_a_while(database: Database) -> None:
    """Nobody counts as dead in a database's first 5 s: those who live need the time to show it."""
    async with await psycopg.AsyncConnection.connect(database.url) as connection:
        await connection.execute("select pg_sleep_until(pg_postmaster_start_time() + interval '5 seconds')")


def words(result: Result) -> tuple[str, bool, bool]:
    return result.content, result.is_replay, result.is_error


async def test_the_same_key_gives_the_same_result_without_running_again(caller: Caller, notes: Notes) -> None:
    first = await caller.invoke("note", key="k1", file=notes.file)
    again = await caller.invoke("note", key="k1", file=notes.file)
    assert words(first) == ("noted in notes", False, False)
    assert words(again) == ("noted in notes", True, False)
    assert again.duration_ms == first.duration_ms
    assert len(notes.lines) == 1
    assert words(await caller.invoke("note", key="k2", file=notes.file)) == ("noted in notes", False, False)
    assert len(notes.lines) == 2


async def test_how_the_arguments_are_written_does_not_matter_but_what_they_say(caller: Caller, notes: Notes) -> None:
    await caller.raw(
        InvokeRequest(name="note", idempotency_key="k", arguments_json=f'{{"file": "{notes.file}", "end": "ok"}}')
    )
    same = InvokeRequest(name="note", idempotency_key="k", arguments_json=f'{{ "end":"ok","file":"{notes.file}"}}')
    assert (await caller.raw(same)).is_replay
    for name, arguments in (("note", {"end": "error"}), ("note_approved", {})):
        error = await refusal(caller.invoke(name, key="k", file=notes.file, **arguments))
        assert error.reason == E.ERROR_REASON_INVALID_ARGUMENT
    assert len(notes.lines) == 1


async def test_a_key_belongs_to_its_tenant(stack: Stack, tool_fn: ToolFn, caller: Caller, notes: Notes) -> None:
    await caller.invoke("note", key="k1", file=notes.file)
    async with calling(stack, tool_fn, await stack.database.tenant()) as other:
        assert not (await other.invoke("note", key="k1", file=notes.file)).is_replay
    assert len(set(notes.lines)) == 2


@pytest.mark.parametrize(
    ("end", "said", "unknown"), [("error", "It was refused.", False), ("crash", "Nobody can say", True)]
)
async def test_a_failure_is_stored_like_any_result(
    caller: Caller, notes: Notes, end: str, said: str, unknown: bool
) -> None:
    first = await caller.invoke("note", key="k1", file=notes.file, end=end)
    again = await caller.invoke("note", key="k1", file=notes.file, end=end)
    for result in (first, again):
        assert said in result.content
        assert (result.is_error, result.outcome_unknown) == (True, unknown)
    assert (first.is_replay, again.is_replay) == (False, True)
    assert len(notes.lines) == 1


async def test_a_call_beyond_its_limit_has_an_unknown_outcome_for_good(caller: Caller, notes: Notes) -> None:
    for is_replay in (False, True):
        result = await caller.invoke("note_briefly", key="k1", file=notes.file, until=notes.until)
        assert (result.is_error, result.outcome_unknown, result.is_replay) == (True, True, is_replay)
        assert "did not finish within 0.2 s" in result.content
    assert len(notes.lines) == 1


async def test_a_caller_that_leaves_does_not_stop_it(pair: Pair, notes: Notes) -> None:
    one, other = pair.callers
    call = one.begin("note", key="k1", file=notes.file, until=notes.until)
    await notes.written()
    call.cancel()
    brief = await refusal(one.invoke("note", key="k1", timeout=0.2, file=notes.file, until=notes.until))
    assert brief.reason == E.ERROR_REASON_DEADLINE_EXCEEDED, "nor does one that waits and leaves"
    elsewhere = asyncio.create_task(other.invoke("note", key="k1", file=notes.file, until=notes.until))
    here = asyncio.create_task(one.invoke("note", key="k1", file=notes.file, until=notes.until))
    await asyncio.wait([elsewhere, here], timeout=0.3)
    assert not elsewhere.done()
    assert not here.done()
    notes.go()
    assert words(await elsewhere) == words(await here) == ("noted in notes", True, False)
    assert len(notes.lines) == 1


async def test_a_hundred_racing_calls_run_it_once(pair: Pair, notes: Notes) -> None:
    calls = [pair.callers[number % 2].invoke("note", key="k1", file=notes.file) for number in range(100)]
    results = await asyncio.gather(*calls)
    assert {result.content for result in results} == {"noted in notes"}
    assert [result.is_replay for result in results].count(False) == 1
    assert len(notes.lines) == 1


async def test_a_killed_process_leaves_an_unknown_outcome_at_once(stack: Stack, pair: Pair, notes: Notes) -> None:
    await has_run_for_a_while(stack.database)
    one, other = pair.callers
    call = one.begin("note", key="k1", file=notes.file, until=notes.until)
    await notes.written()
    waiting = asyncio.create_task(other.invoke("note", key="k1", file=notes.file, until=notes.until))
    await asyncio.wait([waiting], timeout=0.2)
    assert not waiting.done()
    began = time.monotonic()
    await pair.processes[0].kill()
    result = await waiting
    assert time.monotonic() - began < 1.5
    assert (result.is_error, result.outcome_unknown) == (True, True)
    assert "Nobody can say whether it was carried out. It is not repeated." in result.content
    assert (await refusal(one.result(call))).reason == E.ERROR_REASON_FUNCTION_UNAVAILABLE
    await pair.processes[0].restart()
    notes.go()
    for caller in pair.callers:
        assert (await caller.invoke("note", key="k1", file=notes.file, until=notes.until)).outcome_unknown
    assert len(notes.lines) == 1


async def test_a_frozen_process_is_waited_for(pair: Pair, notes: Notes) -> None:
    one, other = pair.callers
    call = one.begin("note", key="k1", file=notes.file, until=notes.until)
    await notes.written()
    pair.processes[0].suspend()
    waiting = asyncio.create_task(other.invoke("note", key="k1", file=notes.file, until=notes.until))
    await asyncio.wait([waiting], timeout=0.5)
    assert not waiting.done(), "it may still come to its end"
    notes.go()
    pair.processes[0].resume()
    assert words(await waiting) == ("noted in notes", True, False)
    assert words(await one.result(call)) == ("noted in notes", False, False)


async def test_a_termination_lets_it_end(pair: Pair, notes: Notes) -> None:
    one, other = pair.callers
    call = one.begin("note", key="k1", file=notes.file, until=notes.until)
    await notes.written()
    pair.processes[0].send(signal.SIGTERM)
    async with asyncio.timeout(10):
        while not any('"draining"' in line for line in pair.processes[0].log_lines):
            await asyncio.sleep(0.01)
    assert pair.processes[0].process.running
    notes.go()
    assert words(await one.result(call)) == ("noted in notes", False, False)
    assert await pair.processes[0].process.wait() == 0
    assert words(await other.invoke("note", key="k1", file=notes.file, until=notes.until)) == (
        *("noted in notes", True, False),
    )


async def test_a_termination_that_cannot_wait_any_longer_says_that_nobody_knows(
    stack: Stack, fleet: Fleet, tenant: Tenant, notes: Notes
) -> None:
    tool_fn = await fleet.tool_fn(folder=OPERATOR_TOOLS, env={"DORMOUSE_DRAIN_S": "0.5"})
    async with calling(stack, tool_fn, tenant) as caller:
        call = caller.begin("note", key="k1", file=notes.file, until=notes.until)
        await notes.written()
        assert await tool_fn.terminate(timeout=10) == 0
        result = await caller.result(call)
        assert (result.is_error, result.outcome_unknown) == (True, True)
        assert "broken off by a shutdown" in result.content
        await tool_fn.restart()
        again = await caller.invoke("note", key="k1", file=notes.file, until=notes.until)
        assert (again.outcome_unknown, again.is_replay, again.content) == (True, True, result.content)
    assert len(notes.lines) == 1


@dataclass(frozen=True)
class Frail(Pair):
    """Two processes on a database of their own."""

    database: Database


@pytest.fixture
async def frail(stack: Stack, fleet: Fleet, tenant: Tenant) -> AsyncIterator[Frail]:
    database = await fleet.postgres()
    starts = (fleet.tool_fn(folder=OPERATOR_TOOLS, database=database) for _ in range(2))
    first, second = await asyncio.gather(*starts)
    async with calling(stack, first, tenant) as one, calling(stack, second, tenant) as other:
        yield Frail((first, second), (one, other), database)


async def test_without_its_database_it_does_not_run(frail: Frail, notes: Notes) -> None:
    caller = frail.callers[0]
    await frail.database.stop()
    began = time.monotonic()
    result = await caller.invoke("note", key="k1", file=notes.file)
    assert time.monotonic() - began < 5
    assert (result.is_error, result.outcome_unknown) == (True, False)
    assert "was not run" in result.content
    assert notes.lines == []
    assert (await caller.invoke("echo", text="unaffected")).content == "unaffected"
    await frail.database.resume()
    assert words(await caller.invoke("note", key="k1", file=notes.file)) == ("noted in notes", False, False)
    assert len(notes.lines) == 1


async def test_a_database_that_dies_meanwhile_gets_the_result_later(frail: Frail, notes: Notes) -> None:
    one, other = frail.callers
    call = one.begin("note", key="k1", file=notes.file, until=notes.until)
    await notes.written()
    await frail.database.kill()
    notes.go()
    assert words(await one.result(call)) == ("noted in notes", False, False), "the caller need not wait for it"
    again = await one.invoke("note", key="k1", file=notes.file, until=notes.until)
    assert words(again) == ("noted in notes", True, False), "it is remembered until it is stored"
    await frail.database.resume()
    assert words(await other.invoke("note", key="k1", file=notes.file, until=notes.until)) == (
        *("noted in notes", True, False),
    )
    assert len(notes.lines) == 1


async def test_a_database_that_comes_back_does_not_make_the_living_look_dead(frail: Frail, notes: Notes) -> None:
    one, other = frail.callers
    call = one.begin("note", key="k1", file=notes.file, until=notes.until)
    await notes.written()
    frail.processes[0].suspend()
    await frail.database.kill()
    await frail.database.resume()
    waiting = asyncio.create_task(other.invoke("note", key="k1", file=notes.file, until=notes.until))
    await asyncio.wait([waiting], timeout=1.5)
    assert not waiting.done(), "its lock is free, but it has not had the time to take it again"
    frail.processes[0].resume()
    notes.go()
    assert words(await one.result(call)) == ("noted in notes", False, False)
    assert words(await waiting) == ("noted in notes", True, False)


async def test_without_any_database_it_does_not_run(stack: Stack, fleet: Fleet, tenant: Tenant, notes: Notes) -> None:
    tool_fn = await fleet.tool_fn(folder=OPERATOR_TOOLS, env={"DORMOUSE_POSTGRES_URL": ""})
    async with calling(stack, tool_fn, tenant) as caller:
        assert "was not run" in (await caller.invoke("note", key="k1", file=notes.file)).content
    assert notes.lines == []
