"""`/v1/budgets`: the most that a tenant, its users and its keys may use up."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Path, Request, Response

from edge.auth.bearer import Requires
from edge.auth.caller import Caller
from edge.auth.scopes import Scope
from edge.errors import ApiError
from edge.ids import BUDGET_PATTERN, is_budget_id
from edge.openapi import errors, json_answer, json_body
from edge.request_body import read_json
from edge.services import services_of

from .model import Budget, BudgetKind, Period, Spent
from .schemas import BUDGET_EXAMPLE, BudgetDeleted, BudgetList, BudgetObject, BudgetRequest

router = APIRouter(tags=["Usage"])

_EVERYBODY: Final = "*"


@router.get(
    "/v1/budgets",
    operation_id="listBudgets",
    summary="List budgets",
    description="With what is gone of each in the present period.",
    responses={
        200: json_answer(BudgetList, "The tenant's budgets.", {"object": "list", "data": [BUDGET_EXAMPLE]}),
        **errors(),
    },
    response_class=Response,
)
async def list_budgets(request: Request, caller: Annotated[Caller, Requires(Scope.BUDGETS)]) -> Response:
    spending = services_of(request).spending
    budgets = await spending.store.budgets(caller.tenant)
    data = [_to_json(budget, spent, spending.prices.currency) for budget, spent in budgets]
    return _json({"object": "list", "data": data})


@router.put(
    "/v1/budgets",
    operation_id="putBudget",
    summary="Set a budget",
    description="For the tenant, one of its users or keys, or each of them. It counts within seconds, and what was "
    "used up in the present period before counts too.",
    responses={200: json_answer(BudgetObject, "The budget.", BUDGET_EXAMPLE), **errors(400, 413, 415)},
    openapi_extra=json_body(BudgetRequest),
    response_class=Response,
)
async def put_budget(request: Request, caller: Annotated[Caller, Requires(Scope.BUDGETS)]) -> Response:
    services = services_of(request)
    wanted = await read_json(request, BudgetRequest)
    kind, period, subject = BudgetKind(wanted.kind), Period(wanted.period), wanted.subject or ""
    budget = await services.spending.store.put_budget(
        caller.tenant, kind, subject, period, tokens=wanted.tokens, money=wanted.money
    )
    services.spending.budgets_changed(caller.tenant)
    await services.audit.note(
        caller,
        "budget.set",
        budget.id,
        kind=kind.value,
        subject=subject,
        period=period.value,
        tokens=_word(wanted.tokens),
        money=_word(wanted.money),
    )
    return _json(_to_json(budget, None, services.spending.prices.currency))


@router.delete(
    "/v1/budgets/{budget_id}",
    operation_id="deleteBudget",
    summary="Delete a budget",
    description="What it limited is not limited any more.",
    responses={
        200: json_answer(
            BudgetDeleted,
            "It is gone.",
            {"id": BUDGET_EXAMPLE["id"], "object": "budget.deleted", "deleted": True},
        ),
        **errors(404),
    },
    response_class=Response,
)
async def delete_budget(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.BUDGETS)],
    budget_id: Annotated[
        str,
        Path(
            description="The budget's id.",
            json_schema_extra={"pattern": BUDGET_PATTERN},
            examples=[BUDGET_EXAMPLE["id"]],
        ),
    ],
) -> Response:
    services = services_of(request)
    if not is_budget_id(budget_id) or not await services.spending.store.delete_budget(caller.tenant, budget_id):
        raise ApiError(404, "There is no budget with this id.", code="budget_not_found")
    services.spending.budgets_changed(caller.tenant)
    await services.audit.note(caller, "budget.deleted", budget_id)
    return _json({"id": budget_id, "object": "budget.deleted", "deleted": True})


def _to_json(budget: Budget, spent: Spent | None, currency: str) -> dict[str, Any]:
    return {
        "id": budget.id,
        "object": "budget",
        "kind": budget.kind,
        "subject": budget.subject or None,
        "period": budget.period,
        "tokens": budget.tokens,
        "money": None if budget.money is None else float(budget.money),
        "currency": currency,
        "spent": None
        if spent is None or budget.subject == _EVERYBODY
        else {
            "tokens": spent.tokens,
            "money": float(spent.money),
            "reserved_tokens": spent.reserved_tokens,
            "reserved_money": float(spent.reserved_money),
        },
        "resets_at": f"{budget.period.ends_at(datetime.now(UTC).date()):%Y-%m-%dT%H:%M:%SZ}",
    }


def _word(limit: int | Decimal | None) -> str:
    return "" if limit is None else f"{limit:f}" if isinstance(limit, Decimal) else str(limit)


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
