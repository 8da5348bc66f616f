"""What runs cost, whoever ends them: answered, cancelled, taken over, left behind."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest
from dormouse.agent.v1.run_event_pb2 import CancelCause, RunEvent
from dormouse_runtime.errors import DormouseError
from edge.auth.caller import Caller
from edge.database import Database
from edge.errors import ApiError
from edge.ids import new_run_id
from edge.limits.plans import Plans
from edge.runs import RunEngine
from edge.runs.model import OnDisconnect
from edge.spending.model import BudgetKind, Period
from edge.spending.prices import PriceList
from edge.spending.service import Spending, open_spending
from edge.spending.sweep import Sweep

from tests.integration.run_engine.conftest import LEASE_S, Bench, eventually
from tests.integration.run_engine.scripted_agent import (
    asking,
    call,
    delta,
    ended,
    finished,
    interrupted,
    started,
    usage,
)

APPROVE = {"c1.approval": {"action": "approve"}}


@dataclass(slots=True)
class Till:
    """The bench with a budget, which every run is held against."""

    bench: Bench
    exits: AsyncExitStack
    caller: Caller
    open: Callable[[], Coroutine[Any, Any, Spending]]

    async def start(self, spending: Spending, engine: RunEngine, **fields: Any) -> str:
        """As the surfaces start runs."""
        run_id = new_run_id()
        spec = self.bench.spec(run_id=run_id, key_id=self.caller.key_id, **fields)
        assert await spending.reserve_run(self.caller, run_id, spec)
        return await engine.start(spec)

    async def ledger(self, run_id: str) -> tuple[int, int]:
        rows = await self.bench.sql("select prompt_tokens, completion_tokens from charges where id = %s", run_id)
        return (rows[0]["prompt_tokens"], rows[0]["completion_tokens"]) if rows else (0, 0)

    async def held(self) -> int:
        rows = await self.bench.sql("select reserved_tokens as n from spent where kind = 'tenant' and period = 'day'")
        return rows[0]["n"] if rows else 0

    async def settled(self, run_id: str, prompt: int, completion: int) -> None:
        """Waits until the ledger says this of the run, and nothing is held back."""

        async def is_so() -> bool:
            return await self.ledger(run_id) == (prompt, completion) and await self.held() == 0

        await eventually(is_so, 8)


@pytest.fixture
async def till(bench: Bench) -> AsyncIterator[Till]:
    async with AsyncExitStack() as exits:

        async def opened() -> Spending:
            database = Database(bench.stack.database.url)
            await database.open()
            exits.push_async_callback(database.close)
            return await exits.enter_async_context(
                open_spending(database, bench.stack.valkey.url, PriceList(), Plans())
            )

        spending = await opened()
        await spending.store.put_budget(
            bench.tenant.id, BudgetKind.TENANT, "", Period.DAY, tokens=1_000_000, money=None
        )
        yield Till(bench, exits, Caller(bench.tenant.id, bench.tenant.user, "key_1", plan="unlimited"), opened)


async def test_a_run_that_asks_is_charged_for_each_part_and_holds_nothing_while_it_waits(till: Till) -> None:
    spending = await till.open()
    engine = await till.bench.replica(on_end=(spending.run_ended,))

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent | list[RunEvent], None]:
        yield started()
        yield call("c1")
        if not request.answers:
            yield [ended(), usage(7)]
            yield interrupted("c1")
            return
        yield [ended("m2"), usage(20)]
        yield finished()

    till.bench.agent.script = script
    run_id = await till.start(spending, engine, stored=True, can_interrupt=True)
    assert await till.held() > 0
    await till.bench.read(engine, run_id)
    await till.settled(run_id, 3, 7)
    assert await spending.reserve_resumption(till.caller, run_id, "")
    assert await till.held() > 0
    await engine.resume(till.bench.tenant.id, run_id, APPROVE)
    await till.bench.read(engine, run_id)
    await till.settled(run_id, 6, 27)
    assert await spending.reserve_resumption(till.caller, run_id, "")  # sent again: it waits for nothing
    assert await till.held() == 0


async def test_a_question_that_is_cancelled_costs_nothing_more(till: Till) -> None:
    spending = await till.open()
    engine = await till.bench.replica(on_end=(spending.run_ended,))
    till.bench.agent.script = asking("c1")
    run_id = await till.start(spending, engine, stored=True, can_interrupt=True)
    await till.bench.read(engine, run_id)
    await engine.cancel(till.bench.tenant.id, run_id, CancelCause.CANCEL_CAUSE_REQUESTED)
    await till.settled(run_id, 0, 0)


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_run_whose_replica_died_is_settled_by_who_takes_it_over(till: Till, goes_on: bool) -> None:
    first_books, second_books = await till.open(), await till.open()
    first = await till.bench.replica(on_end=(first_books.run_ended,))
    await till.bench.replica(on_end=(second_books.run_ended,))

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent | list[RunEvent], None]:
        yield started()
        if not request.HasField("recovery"):
            yield delta("one ")
            await asyncio.Event().wait()
        yield delta("two")
        yield [ended(), usage(9)]
        yield finished()

    till.bench.agent.script = script
    choice = OnDisconnect.CONTINUE if goes_on else OnDisconnect.CANCEL
    run_id = await till.start(first_books, first, on_disconnect=choice)
    await till.bench.said(first, run_id, "one ")
    await till.bench.kill(first)
    # Cut off, the run is charged the piece that had come, and its prompt as guessed.
    await till.settled(run_id, *((3, 9) if goes_on else (8, 1)))


async def test_charges_that_a_dead_replica_left_in_redis_are_found_and_counted_once(till: Till) -> None:
    spending = await till.open()
    engine = await till.bench.replica()  # nobody hears of its ends
    till.bench.agent.script = says_something
    run_id = await till.start(spending, engine)
    await till.bench.read(engine, run_id)
    sweeps = [Sweep(await till.open(), engine, 0.0) for _ in range(2)]

    async def swept() -> bool:
        await asyncio.gather(*(sweep.sweep() for sweep in sweeps))
        return await till.ledger(run_id) == (3, 5)

    await eventually(swept)
    assert await till.held() == 0
    left = [charge.id async for charges in spending.outbox.older(0) for charge in charges]
    assert run_id not in left


async def test_what_is_held_for_nobody_is_freed_and_what_is_held_for_a_run_is_not(till: Till) -> None:
    spending = await till.open()
    engine = await till.bench.replica(on_end=(spending.run_ended,))
    waiting = asyncio.Event()

    async def script(request: ExecuteRequest) -> AsyncGenerator[RunEvent, None]:
        yield started()
        await waiting.wait()
        yield finished()

    till.bench.agent.script = script
    living = await till.start(spending, engine)
    held = await till.held()
    never = new_run_id()
    await spending.reserve_run(till.caller, never, till.bench.spec())  # its replica dies before the run begins
    assert await till.held() == 2 * held
    await Sweep(spending, engine, LEASE_S).sweep(left_after=timedelta(0))
    assert await till.held() == held
    waiting.set()
    await till.settled(living, 0, 0)


async def test_a_used_up_budget_keeps_an_answered_run_waiting(till: Till) -> None:
    spending = await till.open()
    engine = await till.bench.replica(on_end=(spending.run_ended,))
    till.bench.agent.script = asking("c1")
    run_id = await till.start(spending, engine, stored=True, can_interrupt=True)
    await till.bench.read(engine, run_id)
    await till.settled(run_id, 0, 0)
    await spending.store.put_budget(till.bench.tenant.id, BudgetKind.TENANT, "", Period.DAY, tokens=0, money=None)
    with pytest.raises(ApiError) as refused:
        await spending.reserve_resumption(till.caller, run_id, "")
    assert refused.value.code == "insufficient_quota"
    assert (await engine.get(till.bench.tenant.id, run_id)).status == "interrupted"


async def test_callers_without_budgets_ask_the_database_nothing(till: Till) -> None:
    spending = await till.open()
    tenant = await till.bench.stack.database.tenant()
    caller = Caller(tenant.id, tenant.user, "key_2", plan="unlimited")
    assert not await spending.reserve_run(caller, new_run_id(), till.bench.spec())

    def fail(*_: object) -> None:
        raise AssertionError("the database was asked")

    spending._applying._database.tenant = fail  # type: ignore[assignment]
    spending.store.reserve = fail  # type: ignore[assignment,method-assign]
    for _ in range(20):
        assert not await spending.reserve_run(caller, new_run_id(), till.bench.spec())
    with pytest.raises((AssertionError, DormouseError)):
        await spending.reserve_run(till.caller, new_run_id(), till.bench.spec())


async def says_something(request: ExecuteRequest) -> AsyncGenerator[RunEvent | list[RunEvent], None]:
    yield started()
    yield delta("hello")
    yield [ended(), usage(5)]
    yield finished()
