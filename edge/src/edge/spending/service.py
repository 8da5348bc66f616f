"""Budgets as the surfaces use them: something is held back before work starts, and it is charged when it has ended."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

from edge.auth.caller import Caller
from edge.database import Database
from edge.embed_client import Ingested
from edge.errors import ApiError
from edge.ids import new_job_id
from edge.limits.plans import Plans
from edge.redis_link import make_client
from edge.runs.ends import EndedRun
from edge.runs.model import RunSpec

from . import estimate, metrics
from .applying import Applying
from .ledger import Ledger
from .model import BudgetKind, Charge, Estimate, Period, PlanBudget, Use, Work
from .outbox import Outbox
from .prices import PriceList
from .store import SpendingStore, UsedUp

REPLACE_AFTER_S: Final = 1.0

_log = logging.getLogger(__name__)


class Spending:
    """Made by `open_spending`."""

    def __init__(
        self, store: SpendingStore, applying: Applying, ledger: Ledger, outbox: Outbox, prices: PriceList, plans: Plans
    ) -> None:
        self.store = store
        self.outbox = outbox
        self.prices = prices
        self._applying = applying
        self._ledger = ledger
        self._plans = plans
        self._held: set[str] = set()

    @property
    def held(self) -> Sequence[str]:
        """Ids of work other than runs that something is held back for here."""
        return list(self._held)

    async def reserve_run(self, caller: Caller, run_id: str, spec: RunSpec) -> bool:
        """Holds back what the run may use up; whoever ends it settles. False: no budget applies, nothing was asked.

        Raises ApiError 429 where a budget is used up, and 503 where that cannot be told.
        """
        plan = self._plan_of(caller)
        if not plan and not await self._apply_to(caller):
            return False
        await self._reserve(caller, run_id, estimate.of_run(spec, spec.model), plan)
        return True

    async def reserve_resumption(self, caller: Caller, run_id: str, model: str) -> bool:
        """The same for a run that goes on; nothing is held back where it waits for no answers."""
        plan = self._plan_of(caller)
        if not plan and not await self._apply_to(caller):
            return False
        more = Estimate(model, 0, estimate.OUTPUT_TOKENS)
        await self._reserve(caller, run_id, more, plan, resumes=True)
        return True

    def release(self, caller: Caller, work_id: str, *, part: int = 1_000_000) -> None:
        """The work has not begun, and does not: what was held back is free soon."""
        self._ledger.put(Charge(work_id, caller.tenant, caller.user, caller.key_id, "", datetime.now(UTC), part=part))

    def run_ended(self, run: EndedRun) -> None:
        """Has the run's charge written down, and what was held back for it freed."""
        self._ledger.put(run.charge)

    async def begin(self, caller: Caller, work_id: str, work: Work, more: Estimate) -> "Job":
        """Holds back what a piece of work without a run may use up. The job is to be entered at once.

        Raises ApiError 429 and 503 as `reserve_run` does.
        """
        plan = self._plan_of(caller)
        if plan or await self._apply_to(caller):
            await self._reserve(caller, work_id, more, plan)
        return Job(self, caller, work_id, work, more.model)

    async def charge(self, charge: Charge) -> None:
        """Has it written down soon; when this returns it outlives this process."""
        self._ledger.put(charge)
        if charge.uses:
            await self.outbox.keep(charge)

    def ingested(self, done: Ingested) -> None:
        """Has what the ingestion of a file has used written down. Nothing was held back for it."""
        uses = [Use(use.model, use.prompt_tokens, use.completion_tokens) for use in done.uses]
        charge = Charge(done.id, done.tenant, done.user, "", "", datetime.now(UTC), uses, Work.INGESTION)
        self._ledger.put(charge)

    async def check(self, caller: Caller) -> None:
        """For work that is done later and of unknown size: whether the budgets that apply have something left.

        Raises ApiError 429 and 503 as `reserve_run` does.
        """
        async with await self.begin(caller, new_job_id(), Work.INGESTION, Estimate("", 0, 0)):
            pass

    def budgets_changed(self, tenant: str) -> None:
        """They count here from now on, on other replicas within seconds."""
        self._applying.forget(tenant)

    @contextmanager
    def holding(self, work_id: str) -> Iterator[None]:
        """Something is done for as long as the block lasts."""
        self._held.add(work_id)
        try:
            yield
        finally:
            self._held.discard(work_id)

    def _plan_of(self, caller: Caller) -> Sequence[PlanBudget]:
        return self._plans.of(caller.plan).budgets_of_tenant

    async def _apply_to(self, caller: Caller) -> bool:
        try:
            return await self._applying.apply_to(caller)
        except DormouseError as error:
            raise _cannot_tell(error) from error

    async def _reserve(
        self, caller: Caller, work_id: str, more: Estimate, plan: Sequence[PlanBudget], *, resumes: bool = False
    ) -> None:
        use = Use(more.model, more.prompt_tokens, more.completion_tokens)
        money = self.prices.cost(use, Work.RUN, datetime.now(UTC).date())
        started = time.perf_counter()
        try:
            used_up = await self.store.reserve(
                work_id,
                tenant=caller.tenant,
                user=caller.user,
                key_id=caller.key_id,
                tokens=more.tokens,
                money=money,
                plan=plan,
                resumes=resumes,
            )
        except DormouseError as error:
            metrics.RESERVATIONS.labels("away").inc()
            # It may have been written down all the same.
            self.release(caller, work_id)
            raise _cannot_tell(error) from error
        except asyncio.CancelledError:
            self.release(caller, work_id)
            raise
        metrics.RESERVE_SECONDS.observe(time.perf_counter() - started)
        if used_up is not None:
            metrics.RESERVATIONS.labels("refused").inc()
            raise _insufficient(used_up, self.prices.currency)
        metrics.RESERVATIONS.labels("held").inc()


class Job:
    """A piece of work without a run. `async with job: …; job.use(…)`: what it has used is charged when it ends."""

    def __init__(self, spending: Spending, caller: Caller, work_id: str, work: Work, model: str) -> None:
        self._spending = spending
        self._caller = caller
        self._id = work_id
        self._work = work
        self._model = model
        self._uses: list[Use] = []
        self._holding = spending.holding(work_id)

    def use(self, prompt_tokens: int, completion_tokens: int = 0, model: str = "") -> None:
        """What it has used of a model."""
        self._uses.append(Use(model or self._model, prompt_tokens, completion_tokens))

    async def __aenter__(self) -> "Job":
        self._holding.__enter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._holding.__exit__(None, None, None)
        caller = self._caller
        await self._spending.charge(
            Charge(self._id, caller.tenant, caller.user, caller.key_id, "", datetime.now(UTC), self._uses, self._work)
        )


@asynccontextmanager
async def open_spending(database: Database, redis_url: str, prices: PriceList, plans: Plans) -> AsyncIterator[Spending]:
    """The ledger, writing. On exit what waits is written, or left in Redis."""
    redis = make_client(redis_url, max_connections=2)
    applying = Applying(database)
    outbox = Outbox(redis)
    store = SpendingStore(database, prices)
    ledger = Ledger(store, outbox)
    writing = asyncio.create_task(_keep_going(ledger.write))
    try:
        yield Spending(store, applying, ledger, outbox, prices, plans)
    finally:
        await ledger.flush()
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        await applying.close()
        await redis.aclose()


async def _keep_going(part: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await part()
        except Exception:  # noqa: BLE001 - the edge of a background task
            _log.exception("the ledger failed and starts again")
            await asyncio.sleep(REPLACE_AFTER_S)


def _cannot_tell(error: DormouseError) -> ApiError:
    if error.reason != ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE:
        return ApiError.from_dormouse(error)
    answer = ApiError.of(
        error.reason, "A budget applies, and what is left of it cannot be told now; try again shortly."
    )
    answer.code = "budget_unavailable"
    return answer


_WHOSE: Final = {BudgetKind.TENANT: "your organization", BudgetKind.USER: "this user", BudgetKind.KEY: "this API key"}


def _insufficient(budget: UsedUp, currency: str) -> ApiError:
    now = datetime.now(UTC)
    ends_at = budget.period.ends_at(now.date())
    limits = [f"{budget.tokens} tokens"] if budget.tokens is not None else []
    if budget.money is not None:
        limits.append(f"{_short(budget.money)} {currency}")
    span = "day" if budget.period is Period.DAY else "month"
    message = (
        f"You exceeded your current quota: the budget of {_WHOSE[budget.kind]}, {' or '.join(limits)} a {span}, is "
        f"used up. It begins anew at {ends_at:%Y-%m-%dT%H:%M:%SZ}."
    )
    headers = {"x-should-retry": "false", "retry-after": str(int((ends_at - now).total_seconds()) + 1)}
    return ApiError(429, message, type="insufficient_quota", code="insufficient_quota", headers=headers)


def _short(money: Decimal) -> str:
    return f"{money.normalize():f}"
