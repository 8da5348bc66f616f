"""What a tenant may take: plans, built in and from the operator's file.

A tenant names its plan; one that names none which is there has `free`.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from edge.spending.model import Period, PlanBudget

from .groups import Group
from .rates import Rate

FREE: Final = "free"
UNLIMITED: Final = "unlimited"
_NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"


class Subject(StrEnum):
    """Whose share is counted."""

    KEY = "key"
    USER = "user"
    TENANT = "tenant"


class PlansError(ValueError):
    """The file of plans cannot be used; names the plan and the field."""


Rates = tuple[Annotated[Rate, BeforeValidator(Rate.parse)], ...]
Amount = Annotated[int, Field(ge=1, le=10**12)]


class BudgetLimit(BaseModel):
    """The most that may be used up; at least one of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: Annotated[int, Field(ge=0, le=10**15)] | None = None
    money: Annotated[Decimal, Field(ge=0, le=10**9)] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if self.tokens is None and self.money is None:
            raise ValueError("wants tokens, money or both")
        return self


class Plan(BaseModel):
    """The shares of one plan. What is not limited does not stand there."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: Annotated[str, Field(pattern=_NAME)]
    requests: Mapping[Group, Mapping[Subject, Rates]] = Field(default_factory=dict)
    """Requests in each window, by the group of routes; all windows count."""
    tokens_per_minute: Mapping[Subject, Amount] = Field(default_factory=dict)
    """Prompt and completion of all model calls together."""
    concurrent_runs: Mapping[Subject, Annotated[int, Field(ge=1, le=100_000)]] = Field(default_factory=dict)
    """Runs at once, over all replicas."""
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    """Who waits with a higher one goes first."""
    queue_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The part of a replica's queue that the runs of this plan may fill."""
    budgets: Mapping[Period, BudgetLimit] = Field(default_factory=dict)
    """Of a tenant that has no budget of its own for that period."""

    @property
    def budgets_of_tenant(self) -> Sequence[PlanBudget]:
        """As the ledger knows them."""
        return [PlanBudget(period, limit.tokens, limit.money) for period, limit in self.budgets.items()]


def _built_in() -> dict[str, Plan]:
    each = {"key": ("10/min", "100/h"), "user": ("10/min", "100/h"), "tenant": ("50/min", "500/h")}
    free = Plan.model_validate(
        {
            "name": FREE,
            "requests": {
                "models": each,
                "search": {"user": ("60/min",), "tenant": ("300/min",)},
                "files": {"user": ("30/min",), "tenant": ("150/min",)},
                "other": {"user": ("600/min",), "tenant": ("3000/min",)},
            },
            "tokens_per_minute": {"user": 100_000, "tenant": 500_000},
            "concurrent_runs": {"user": 4, "tenant": 20},
            "priority": 1,
            "queue_share": 0.5,
        }
    )
    return {FREE: free, UNLIMITED: Plan(name=UNLIMITED)}


class Plans:
    """Every plan there is, by name."""

    def __init__(self, plans: Mapping[str, Plan] | None = None) -> None:
        self._plans: Mapping[str, Plan] = MappingProxyType({**_built_in(), **(plans or {})})

    def __iter__(self) -> Iterator[Plan]:
        return iter(self._plans.values())

    def __contains__(self, name: object) -> bool:
        return name in self._plans

    def of(self, name: str) -> Plan:
        """The plan of this name; `free` where there is none."""
        return self._plans.get(name) or self._plans[FREE]


def load_plans(path: Path | None) -> Plans:
    """The built-in plans and those of a YAML or JSON file: `plans: {name: {…}}`. Raises PlansError.

    `free` can be given anew; `unlimited` cannot.
    """
    if path is None:
        return Plans()
    import yaml  # only where there is such a file

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlansError(f"wants a file that can be read; {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PlansError(f"wants YAML or JSON; {path}: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict) or set(document) != {"plans"} or not isinstance(document["plans"], dict):
        raise PlansError(f"wants one mapping, `plans`, from names to plans; {path} holds something else")
    return Plans({str(name): _plan(str(name), given) for name, given in document["plans"].items()})


def _plan(name: str, given: Any) -> Plan:
    if name == UNLIMITED:
        raise PlansError(f"plan `{name}`: it is built in and cannot be given anew")
    if not isinstance(given, dict):
        raise PlansError(f"plan `{name}`: wants a mapping")
    if "name" in given:
        raise PlansError(f"plan `{name}`, name: is not a field")
    try:
        return Plan.model_validate({**given, "name": name})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise PlansError(f"plan `{name}`, {_place(problem['loc'])}: {_wish(problem)}") from None


def _place(loc: tuple[int | str, ...]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc if part != "[key]"]
    return "".join(parts).removeprefix(".")


def _wish(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "is not a field"
    said = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return said if said.startswith("wants ") else f"wants {said}"
