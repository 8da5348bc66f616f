"""Budgets and the ledger in Postgres.

What a budget allows is decided there, in one statement under the tenant's lock, so that replicas which ask at once get
one answer after the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import orjson

from edge.database import Database
from edge.ids import new_budget_id

from .model import Budget, BudgetKind, Charge, Period, PlanBudget, Spent, UsageQuery, UsageRow, Work
from .prices import PriceList

RESERVE_TIMEOUT_S: Final = 1.5

COLUMNS: Final = {"day": "day", "model": "model", "agent": "agent_id", "key": "key_id", "user": "user_id",
                  "work": "work"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class UsedUp:
    """A budget that has nothing left."""

    kind: BudgetKind
    subject: str
    period: Period
    tokens: int | None
    money: Decimal | None


@dataclass(frozen=True, slots=True)
class LeftReservation:
    """Something held back for work that nobody says to be doing."""

    tenant: str
    id: str
    part: int


class SpendingStore:
    """Every method raises DATABASE_UNAVAILABLE while Postgres is away."""

    def __init__(self, database: Database, prices: PriceList) -> None:
        self._database = database
        self._prices = prices

    async def reserve(
        self,
        work_id: str,
        *,
        tenant: str,
        user: str,
        key_id: str,
        tokens: int,
        money: Decimal,
        plan: Sequence[PlanBudget] = (),
        resumes: bool = False,
    ) -> UsedUp | None:
        """Holds back so much for a piece of work; asked twice it does so once. A budget without room is returned."""
        given = orjson.dumps([budget.to_json() for budget in plan]).decode()
        async with self._database.connection(RESERVE_TIMEOUT_S) as connection:
            cursor = await connection.execute(
                "select * from reserve_spending(%s, %s, %s, %s, %s, %s, %s::jsonb, %s)",
                (tenant, work_id, user, key_id, tokens, money, given, resumes),
                binary=True,
            )
            row = await cursor.fetchone()
        if row is None:
            return None
        return UsedUp(
            BudgetKind(row["kind"]), row["subject"], Period(row["period"]), row["max_tokens"], row["max_money"]
        )

    async def settle(self, charges: Iterable[Charge]) -> None:
        """Writes charges down and frees what was held back for them. Done twice it counts once."""
        told = [self._to_json(charge) for charge in charges]
        async with self._database.connection() as connection:
            await connection.execute("select settle_spending(%s::jsonb)", (orjson.dumps(told).decode(),))

    async def hold(self, work_ids: Sequence[str]) -> None:
        """Somebody works on these still."""
        async with self._database.connection() as connection:
            await connection.execute("select hold_reservations(%s)", (list(work_ids),))

    async def left(self, older_than: timedelta, batch: int) -> Sequence[LeftReservation]:
        """What nobody has held for so long, of all tenants."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                "select tenant_id, id, part from left_reservations(clock_timestamp() - %s, %s)", (older_than, batch)
            )
            rows = await cursor.fetchall()
        return [LeftReservation(row["tenant_id"], row["id"], row["part"]) for row in rows]

    async def budgets(self, tenant: str) -> Sequence[tuple[Budget, Spent]]:
        """The tenant's, with what is gone of each; of those for everybody it is not told."""
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute(
                """select b.*, s.tokens as spent_tokens, s.money as spent_money, s.reserved_tokens, s.reserved_money
                   from budgets b left join spent s on s.tenant_id = b.tenant_id and s.kind = b.kind
                       and s.subject = b.subject and s.period = b.period
                       and s.starts_on = date_trunc(b.period, now() at time zone 'UTC')::date
                   order by b.kind, b.subject, b.period"""
            )
            rows = await cursor.fetchall()
        return [(_budget(row), _spent(row)) for row in rows]

    async def put_budget(
        self,
        tenant: str,
        kind: BudgetKind,
        subject: str,
        period: Period,
        *,
        tokens: int | None,
        money: Decimal | None,
    ) -> Budget:
        """Makes the budget, or changes the one that there is."""
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute(
                """insert into budgets (tenant_id, id, kind, subject, period, tokens, money)
                   values (%s, %s, %s, %s, %s, %s, %s)
                   on conflict (tenant_id, kind, subject, period) do update set tokens = excluded.tokens,
                       money = excluded.money, updated_at = clock_timestamp()
                   returning *""",
                (tenant, new_budget_id(), kind, subject, period, tokens, money),
            )
            row = await cursor.fetchone()
        assert row is not None
        return _budget(row)

    async def delete_budget(self, tenant: str, budget_id: str) -> bool:
        """False: there is none with this id."""
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute("delete from budgets where id = %s", (budget_id,))
        return cursor.rowcount > 0

    async def usage(self, tenant: str, query: UsageQuery, *, limit: int, offset: int) -> Sequence[UsageRow]:
        """Lines of a report, in the order of what it is by; newest days first."""
        columns = [COLUMNS[name] for name in query.group_by]
        conditions, values = ["day between %s and %s"], list[Any]((query.start, query.end))
        for name, value in query.filters.items():
            conditions.append(f"{COLUMNS[name]} = %s")
            values.append(value)
        order = [f"{column} desc" if column == "day" else column for column in columns]
        listed = "".join(f"{column}, " for column in columns)
        statement = f"""select {listed} sum(requests)::bigint as requests, sum(prompt_tokens)::bigint as prompt_tokens,
                sum(completion_tokens)::bigint as completion_tokens,
                sum(reasoning_tokens)::bigint as reasoning_tokens, sum(money) as money
            from usage_days where {" and ".join(conditions)}
            {f"group by {', '.join(columns)} order by {', '.join(order)}" if columns else "having count(*) > 0"}
            limit %s offset %s"""  # noqa: S608 - built of constants
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute(statement.encode(), (*values, limit, offset))
            rows = await cursor.fetchall()
        return [
            UsageRow(
                {name: str(row[COLUMNS[name]]) for name in query.group_by},
                row["requests"],
                row["prompt_tokens"],
                row["completion_tokens"],
                row["reasoning_tokens"],
                row["money"],
            )
            for row in rows
        ]

    def _to_json(self, charge: Charge) -> dict[str, Any]:
        day = charge.at.date()
        return {
            "tenant": charge.tenant,
            "id": charge.id,
            "part": charge.part,
            "work": charge.work,
            "user": charge.user,
            "key": charge.key_id,
            "agent": charge.agent_id,
            "at": charge.at.isoformat(),
            "uses": [
                {
                    "model": use.model,
                    "prompt": use.prompt_tokens,
                    "completion": use.completion_tokens,
                    "reasoning": use.reasoning_tokens,
                    "money": str(self._prices.cost(use, Work(charge.work), day)),
                }
                for use in charge.uses
            ],
        }


def _budget(row: Any) -> Budget:
    return Budget(
        row["id"], BudgetKind(row["kind"]), row["subject"], Period(row["period"]), row["tokens"], row["money"]
    )


def _spent(row: Any) -> Spent:
    if row["spent_tokens"] is None:
        return Spent()
    return Spent(row["spent_tokens"], row["spent_money"], row["reserved_tokens"], row["reserved_money"])
