"""Usage and budgets: what is read of requests, and the shapes of answers."""

from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge.content import Schema

GroupName = Literal["day", "model", "agent", "key", "user", "work"]

Tokens = Annotated[int, Field(ge=0, le=10**15)]
Money = Annotated[Decimal, Field(ge=0, le=10**9, decimal_places=9, allow_inf_nan=False)]


class BudgetRequest(Schema):
    """The most that may be used up in each day or month (UTC). It takes the place of the one for the same."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "user", "subject": "*", "period": "day", "tokens": 200000}]}
    )

    kind: Literal["tenant", "user", "key"]
    subject: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = Field(
        None, description="A user's or key's id, or `*` for each that has no budget of its own. None for a tenant."
    )
    period: Literal["day", "month"]
    tokens: Tokens | None = Field(None, description="Prompt and completion together.")
    money: Money | None = Field(None, description="In the currency of the price list.")

    @model_validator(mode="after")
    def _fits_together(self) -> "BudgetRequest":
        if (self.kind == "tenant") != (self.subject is None):
            raise ValueError("`subject` is for budgets of users and keys, which need one")
        if self.tokens is None and self.money is None:
            raise ValueError("a budget limits `tokens`, `money` or both")
        return self


class BudgetSpent(BaseModel):
    """In the present period. Of a budget for everybody nothing is told here."""

    tokens: int
    money: float
    reserved_tokens: int = Field(description="Held back for what has begun and not ended.")
    reserved_money: float


class BudgetObject(BaseModel):
    id: str
    object: Literal["budget"]
    kind: Literal["tenant", "user", "key"]
    subject: str | None
    period: Literal["day", "month"]
    tokens: int | None
    money: float | None
    currency: str
    spent: BudgetSpent | None
    resets_at: str = Field(description="When the next period begins.")


class BudgetList(BaseModel):
    object: Literal["list"]
    data: list[BudgetObject]


class BudgetDeleted(BaseModel):
    id: str
    object: Literal["budget.deleted"]
    deleted: Literal[True]


class UsageLine(BaseModel):
    """What was used up by one group; it has the fields that the report is by."""

    object: Literal["usage"]
    day: str | None = None
    model: str | None = None
    agent: str | None = None
    key: str | None = Field(None, description="The API key's id; empty for other credentials.")
    user: str | None = None
    work: str | None = Field(None, description="`run`, `embedding`, `search` or `ingestion`.")
    requests: int
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = Field(description="Of the completion.")
    total_tokens: int
    money: float


class UsagePage(BaseModel):
    object: Literal["usage.page"]
    start: str
    end: str
    currency: str
    data: list[UsageLine]
    has_more: bool
    next_page: str | None


MODELS: Final = (BudgetRequest, BudgetSpent, BudgetObject, BudgetList, BudgetDeleted, UsageLine, UsagePage)

BUDGET_EXAMPLE: Final[dict[str, Any]] = {
    "id": "budget_8dYh2mPz0ZcA5kQw1nRtXvBg",
    "object": "budget",
    "kind": "tenant",
    "subject": None,
    "period": "month",
    "tokens": 50000000,
    "money": 25.0,
    "currency": "EUR",
    "spent": {"tokens": 1203341, "money": 0.61, "reserved_tokens": 1100, "reserved_money": 0.0005},
    "resets_at": "2026-12-01T00:00:00Z",
}
USAGE_EXAMPLE: Final[dict[str, Any]] = {
    "object": "usage.page",
    "start": "2026-11-01",
    "end": "2026-11-20",
    "currency": "EUR",
    "data": [
        {
            "object": "usage",
            "day": "2026-11-20",
            "model": "llama3.2:3b",
            "requests": 41,
            "prompt_tokens": 9120,
            "completion_tokens": 3991,
            "reasoning_tokens": 0,
            "total_tokens": 13111,
            "money": 0.0066,
        }
    ],
    "has_more": False,
    "next_page": None,
}
CSV_EXAMPLE: Final = (
    "day,model,requests,prompt_tokens,completion_tokens,reasoning_tokens,total_tokens,money\r\n"
    "2026-11-20,llama3.2:3b,41,9120,3991,0,13111,0.0066\r\n"
)
