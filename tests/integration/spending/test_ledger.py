"""Budgets and the ledger in Postgres: who may start, what is held back, what is charged, each once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from edge.database import Database
from edge.spending.model import BudgetKind, Charge, Period, PlanBudget, UsageQuery, UsageRow, Use, Work
from edge.spending.prices import Price, PriceList
from edge.spending.store import SpendingStore, UsedUp

from tests.stack import Stack, Tenant

PRICES = PriceList(
    "EUR", [date(2026, 1, 1)], [{"big": Price(input=Decimal(2), output=Decimal(8)), "*": Price(input=Decimal(1))}]
)
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


class Books:
    """A tenant's, as one replica sees them."""

    def __init__(self, store: SpendingStore, database: Database, tenant: Tenant) -> None:
        self.store = store
        self.database = database
        self.tenant = tenant

    async def reserve(self, work_id: str, tokens: int = 100, *, user: str = "ann", key: str = "k1") -> UsedUp | None:
        return await self.store.reserve(
            work_id, tenant=self.tenant.id, user=user, key_id=key, tokens=tokens, money=Decimal(0)
        )

    def charge(self, work_id: str, *uses: Use, user: str = "ann", key: str = "k1", part: int = 0) -> Charge:
        return Charge(work_id, self.tenant.id, user, key, "chat", NOON, uses, Work.RUN, part)

    async def budget(self, tokens: int | None, kind: BudgetKind = BudgetKind.TENANT, subject: str = "") -> str:
        budget = await self.store.put_budget(self.tenant.id, kind, subject, Period.DAY, tokens=tokens, money=None)
        return budget.id

    async def sums(self) -> tuple[int, int]:
        """Of the tenant's day: tokens spent, tokens held back."""
        async with self.database.tenant(self.tenant.id) as connection:
            cursor = await connection.execute(
                "select tokens, reserved_tokens from spent where kind = 'tenant' and period = 'day'"
            )
            row = await cursor.fetchone()
        return (row["tokens"], row["reserved_tokens"]) if row else (0, 0)


@pytest.fixture
async def books(stack: Stack, tenant: Tenant) -> AsyncIterator[Books]:
    database = Database(stack.database.url)
    await database.open()
    yield Books(SpendingStore(database, PRICES), database, tenant)
    await database.close()


async def test_a_budget_admits_until_what_is_spent_and_held_back_reaches_it(books: Books) -> None:
    await books.budget(250)
    assert [await books.reserve(f"run_{number}") for number in range(3)] == [None, None, None]
    refused = await books.reserve("run_3")
    assert refused == UsedUp(BudgetKind.TENANT, "", Period.DAY, 250, None)
    await books.store.settle([books.charge("run_0", Use("m", 3, 4))])
    assert await books.sums() == (7, 200)
    assert await books.reserve("run_3") is None


async def test_a_reservation_that_is_asked_for_twice_is_held_once(books: Books) -> None:
    await books.budget(1000)
    await asyncio.gather(*(books.reserve("run_0") for _ in range(5)))
    assert await books.sums() == (0, 100)


async def test_a_hundred_that_race_overdraw_a_budget_by_one_reservation_at_most(stack: Stack, books: Books) -> None:
    await books.budget(1050)
    async with replicas_of(stack, books) as replicas:
        answers = await asyncio.gather(*(replicas[number % 4].reserve(f"run_{number}") for number in range(100)))
    assert sum(answer is None for answer in answers) == 11
    assert await books.sums() == (0, 1100)


async def test_those_that_look_at_the_same_moment_are_admitted_one_after_the_other(stack: Stack, books: Books) -> None:
    await books.budget(250)
    await books.reserve("run_first")
    async with replicas_of(stack, books) as replicas:
        async with books.database.tenant(books.tenant.id) as obstacle:
            await obstacle.execute("select from spent for update")
            asked = [asyncio.create_task(replicas[number % 4].reserve(f"run_{number}")) for number in range(20)]
            await all_wait(stack, 20)
        answers = await asyncio.gather(*asked)
    assert sum(answer is None for answer in answers) == 2


async def all_wait(stack: Stack, count: int) -> None:
    """Returns when so many statements wait for locks, or soon would be given up."""
    async with await psycopg.AsyncConnection.connect(stack.database.owner_url, autocommit=True) as connection:
        for _ in range(40):
            cursor = await connection.execute(
                "select count(*) from pg_stat_activity"
                " where wait_event_type = 'Lock' and query like '%reserve_spending%'"
            )
            row = await cursor.fetchone()
            if row is not None and row[0] >= count:
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def replicas_of(stack: Stack, books: Books) -> AsyncIterator[list[Books]]:
    """Four replicas with connections of their own, all of them open."""
    databases = [Database(stack.database.url) for _ in range(4)]
    replicas = [Books(SpendingStore(database, PRICES), database, books.tenant) for database in databases]
    for database in databases:
        await database.open()
    await asyncio.gather(*(replica.sums() for replica in replicas for _ in range(6)))
    yield replicas
    for database in databases:
        await database.close()


async def test_a_charge_counts_once_however_often_it_is_settled(books: Books) -> None:
    charge = books.charge("run_0", Use("big", 1000, 500, 100), Use("other", 10))
    await books.reserve("run_0")
    await asyncio.gather(*(books.store.settle([charge, charge]) for _ in range(5)))
    assert await books.sums() == (1510, 0)
    (line,) = await report(books, [])
    assert (line.requests, line.prompt_tokens, line.completion_tokens, line.reasoning_tokens) == (1, 1010, 500, 100)
    assert line.money == Decimal("0.00601")


async def test_a_run_that_goes_on_is_charged_the_difference(books: Books) -> None:
    await books.reserve("run_0")
    await books.store.settle([books.charge("run_0", Use("big", 100, 50))])
    await books.store.settle([books.charge("run_0", Use("big", 300, 80), Use("other", 7), part=1)])
    await books.store.settle([books.charge("run_0", Use("big", 100, 50))])  # told late
    assert await books.sums() == (387, 0)
    lines = await report(books, ["model"])
    assert [(line.group["model"], line.requests, line.prompt_tokens) for line in lines] == [
        ("big", 1, 300),
        ("other", 0, 7),
    ]


async def test_what_is_held_for_a_later_part_is_not_freed_by_the_end_of_an_earlier_one(books: Books) -> None:
    await books.reserve("run_0", 100)
    async with books.database.tenant(books.tenant.id) as connection:
        await connection.execute(
            """insert into runs (id, tenant_id, agent_id, status, request, epoch, owner, request_id, user_id)
               values ('run_0', %s, 'chat', 'interrupted', '', 1, '', '', 'ann')""",
            (books.tenant.id,),
        )
    await resume(books, 40)
    assert await books.sums() == (0, 40)
    await books.store.settle([books.charge("run_0", Use("m", 5))])
    assert await books.sums() == (5, 40)
    async with books.database.tenant(books.tenant.id) as connection:
        await connection.execute("update runs set status = 'running', epoch = 1000000 where id = 'run_0'")
    await resume(books, 40)  # sent twice
    await books.store.settle([books.charge("run_0", Use("m", 9), part=1)])
    assert await books.sums() == (9, 0)


async def test_a_release_frees_and_charges_nothing(books: Books) -> None:
    await books.reserve("run_0")
    await books.store.settle([books.charge("run_0")])
    assert await books.sums() == (0, 0)
    assert await report(books, []) == []


async def test_budgets_of_users_and_keys_count_theirs_and_everybodys_rule_where_there_is_none(books: Books) -> None:
    await books.budget(100, BudgetKind.USER, "*")
    await books.budget(300, BudgetKind.USER, "bob")
    await books.budget(100, BudgetKind.KEY, "k2")
    assert await books.reserve("run_0") is None
    refused = await books.reserve("run_1", key="")
    assert refused is not None
    assert (refused.kind, refused.subject) == (BudgetKind.USER, "ann")
    assert await books.reserve("run_2", user="bob") is None
    assert await books.reserve("run_3", user="bob", key="k2") is None
    refused = await books.reserve("run_4", user="bob", key="k2")
    assert refused is not None
    assert (refused.kind, refused.subject) == (BudgetKind.KEY, "k2")


async def test_the_plans_budget_counts_where_the_tenant_has_none(books: Books) -> None:
    async def reserve(work_id: str) -> UsedUp | None:
        plan = [PlanBudget(Period.DAY, tokens=100)]
        return await books.store.reserve(
            work_id, tenant=books.tenant.id, user="ann", key_id="", tokens=100, money=Decimal(0), plan=plan
        )

    assert [await reserve("run_0"), await reserve("run_1")] == [
        None,
        UsedUp(BudgetKind.TENANT, "", Period.DAY, 100, None),
    ]
    await books.budget(1000)
    assert await reserve("run_1") is None


async def test_a_budget_knows_what_was_spent_before_it_was_made(books: Books) -> None:
    await books.store.settle([books.charge("run_0", Use("m", 60, 60))])
    await books.budget(100)
    assert await books.reserve("run_1") is not None
    ((budget, spent),) = await books.store.budgets(books.tenant.id)
    assert (budget.tokens, spent.tokens, spent.reserved_tokens) == (100, 120, 0)


async def test_money_is_a_budget_too(books: Books) -> None:
    await books.store.put_budget(
        books.tenant.id, BudgetKind.TENANT, "", Period.MONTH, tokens=None, money=Decimal("0.001")
    )
    assert await books.reserve("run_0") is None
    await books.store.settle([books.charge("run_0", Use("big", 500))])
    refused = await books.reserve("run_1")
    assert refused == UsedUp(BudgetKind.TENANT, "", Period.MONTH, None, Decimal("0.001"))


async def test_what_nobody_holds_any_more_is_found(books: Books) -> None:
    await books.reserve("run_left")
    await books.reserve("run_held")
    await books.store.hold(["run_held"])
    async with books.database.tenant(books.tenant.id) as connection:
        await connection.execute("update reservations set held_at = now() - interval '1 hour' where id = 'run_left'")
    left = [it.id for it in await books.store.left(timedelta(minutes=1), 1000) if it.tenant == books.tenant.id]
    assert left == ["run_left"]


async def test_another_tenant_sees_and_frees_nothing(stack: Stack, books: Books) -> None:
    other = await stack.database.tenant()
    await books.reserve("run_0")
    await books.store.settle([books.charge("run_1", Use("m", 5))])
    stranger = Books(books.store, books.database, other)
    await stranger.store.settle([stranger.charge("run_0"), stranger.charge("run_1")])
    assert await books.sums() == (5, 100)
    assert await stranger.sums() == (0, 0)
    assert await report(stranger, ["day"]) == []
    assert await stranger.reserve("run_0") is None
    assert await books.sums() == (5, 100)


async def resume(books: Books, tokens: int) -> None:
    await books.store.reserve(
        "run_0", tenant=books.tenant.id, user="ann", key_id="k1", tokens=tokens, money=Decimal(0), resumes=True
    )


async def report(books: Books, group_by: Sequence[str]) -> list[UsageRow]:
    query = UsageQuery(NOON.date() - timedelta(days=1), NOON.date() + timedelta(days=1), group_by)
    return list(await books.store.usage(books.tenant.id, query, limit=100, offset=0))
