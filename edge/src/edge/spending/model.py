"""What was used up by whom, and what may be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import orjson

EPOCHS_PER_PART: Final = 1_000_000
"""An answer raises a run's epoch to the next multiple of this: the parts between answers count 0, 1, 2 …"""


def part_of(epoch: int) -> int:
    """How often a run with this epoch has been answered."""
    return epoch // EPOCHS_PER_PART


class Work(StrEnum):
    """What was done for it."""

    RUN = "run"
    EMBEDDING = "embedding"
    SEARCH = "search"
    INGESTION = "ingestion"


class BudgetKind(StrEnum):
    """Whose budget it is."""

    TENANT = "tenant"
    USER = "user"
    KEY = "key"


class Period(StrEnum):
    """From midnight, or from the first of the month; UTC."""

    DAY = "day"
    MONTH = "month"

    def starts_on(self, day: date) -> date:
        """The first day of the period that a day belongs to."""
        return day if self is Period.DAY else day.replace(day=1)

    def ends_at(self, day: date) -> datetime:
        """The moment at which the next one begins."""
        start = self.starts_on(day)
        if self is Period.DAY:
            following = date.fromordinal(start.toordinal() + 1)
        else:
            following = date(start.year + start.month // 12, start.month % 12 + 1, 1)
        return datetime(following.year, following.month, following.day, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Use:
    """Tokens of one model."""

    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Includes the reasoning."""
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt, those that a model server says it did not have to read."""


@dataclass(frozen=True, slots=True)
class Charge:
    """A piece of work and all that it has used up until a moment. A later charge of the same work takes its place."""

    id: str
    tenant: str
    user: str
    key_id: str
    agent_id: str
    at: datetime
    uses: Sequence[Use] = ()
    """By model, the first of them the one that was asked for. None: nothing is charged, what was held back is freed."""
    work: Work = Work.RUN
    part: int = 0
    """What was held back for later parts of the work stays held back."""

    def to_json(self) -> bytes:
        """What `from_json` reads."""
        uses = [
            (use.model, use.prompt_tokens, use.completion_tokens, use.reasoning_tokens, use.cached_tokens)
            for use in self.uses
        ]
        who = (self.tenant, self.user, self.key_id, self.agent_id)
        return orjson.dumps((1, self.id, who, self.at.timestamp(), self.work, self.part, uses))

    @classmethod
    def from_json(cls, data: bytes) -> "Charge":
        """Raises ValueError for what is none."""
        try:
            _, charge_id, (tenant, user, key_id, agent_id), at, work, part, uses = orjson.loads(data)
            moment = datetime.fromtimestamp(at, UTC)
            return cls(charge_id, tenant, user, key_id, agent_id, moment, [Use(*use) for use in uses], Work(work), part)
        except (TypeError, orjson.JSONDecodeError) as error:
            raise ValueError("not a charge") from error


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a piece of work may use up."""

    model: str
    prompt_tokens: int
    completion_tokens: int

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a subject may use up in each period."""

    id: str
    kind: BudgetKind
    subject: str
    """A user's or key's id, `*` for each that has none of its own, empty for the tenant."""
    period: Period
    tokens: int | None
    money: Decimal | None


@dataclass(frozen=True, slots=True)
class Spent:
    """How much of a budget is gone in the present period."""

    tokens: int = 0
    money: Decimal = Decimal(0)
    reserved_tokens: int = 0
    reserved_money: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class PlanBudget:
    """A budget that a plan gives to a tenant which has none of its own."""

    period: Period
    tokens: int | None = None
    money: Decimal | None = None

    def to_json(self) -> dict[str, Any]:
        """As the database reads it."""
        return {
            "period": self.period,
            "tokens": self.tokens,
            "money": None if self.money is None else str(self.money),
        }


@dataclass(frozen=True, slots=True)
class UsageRow:
    """A line of a report."""

    group: Mapping[str, str]
    """What the report is by, and whose line this is: `day`, `model`, `agent`, `key`, `user`, `work`."""
    requests: int
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    money: Decimal


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Which lines a report has. Both days are included."""

    start: date
    end: date
    group_by: Sequence[str] = ("day",)
    filters: Mapping[str, str] = field(default_factory=dict)
