"""Limits as the rest of the edge uses them: at the door, at the start of a run, and at its end."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from fastapi import Request

from edge.auth.caller import Caller
from edge.errors import ApiError
from edge.request_context import RequestContext, context_of
from edge.runs.model import RunSpec, Usage
from edge.runs.ownership import Ownership
from edge.runs.prompt_size import prompt_tokens_of

from .answers import headers_of, refusal, too_large
from .counters import Counters, open_counters
from .groups import Group
from .local_share import Peers
from .plans import Plan, Plans, Subject
from .rates import Rate
from .run_queue import RunQueue
from .windows import Places, Window

OUTPUT_TOKENS: Final = 512
"""What an answer is expected to have where the request does not say how long it may be."""

CACHE_LIMIT: Final = 20_000

MINUTE_S: Final = 60


@dataclass(slots=True)
class _Admitted:
    """What a run has taken."""

    tokens: Sequence[Window]
    estimate: int
    places: Sequence[str]
    is_taken: bool = False
    """Whether a run that is executed here has it, and gives it back at its end."""


@asynccontextmanager
async def open_limits(
    plans: Plans, queue: RunQueue, *, redis_url: str, lease_s: float, per_address: int, peers: Peers
) -> AsyncIterator["Limits"]:
    """The limits of this replica.

    per_address: requests that an address may send in a minute; 0: any number. peers: which of the live replicas this
    one is, and how many there are.
    """
    async with open_counters(redis_url, peers, lease_s) as counters:
        yield Limits(plans, counters, queue, Rate(per_address, MINUTE_S) if per_address else None)


class Limits:
    """Takes what a request needs, or refuses it and takes nothing. The run engine's gate, too."""

    def __init__(self, plans: Plans, counters: Counters, queue: RunQueue, per_address: Rate | None = None) -> None:
        self._plans = plans
        self._per_address = per_address
        self._counters = counters
        self._queue = queue
        self._windows: dict[tuple[str, str, str, str, Group], Sequence[Window]] = {}
        self._admitted: dict[str, _Admitted] = {}

    async def admit_address(self, site: str) -> None:
        """Counts a request of whoever this address belongs to. Raises ApiError 429."""
        if self._per_address is None:
            return
        windows = [Window(f"dm:limit:{{{site}}}:address", self._per_address, "address")]
        verdict = await self._counters.take(windows, [self._per_address.increment_us])
        if not verdict.admitted:
            raise refusal("requests", windows, verdict)

    async def admit(self, request: Request, caller: Caller, group: Group) -> None:
        """Counts a request whose caller is known. Raises ApiError 429, and 503 where a run would be refused anyway."""
        plan = self._plans.of(caller.plan)
        if group is Group.MODELS:
            self._queue.require_room(plan)
        windows = self._windows_of(caller, plan, group)
        if not windows:
            return
        costs = [window.rate.increment_us for window in windows]
        verdict = await self._counters.take(windows, costs)
        context = context_of(request.scope)
        context.answer_headers += headers_of("requests", windows, verdict.used_us)
        if not verdict.admitted:
            raise refusal("requests", windows, verdict)
        context.taken = windows

    async def admit_tokens(self, request: Request, caller: Caller, tokens: int) -> None:
        """Counts tokens that are used up without a run. Raises ApiError 429; the request then has taken nothing."""
        plan, context = self._plans.of(caller.plan), context_of(request.scope)
        windows = _token_windows(caller, plan)
        if not windows:
            return
        try:
            costs = [window.rate.cost_us(_clamped(tokens, 0, windows)) for window in windows]
            verdict = await self._counters.take(windows, costs)
            context.answer_headers += headers_of("tokens", windows, verdict.used_us)
            if not verdict.admitted:
                raise refusal("tokens", windows, verdict)
        except ApiError:
            self._give_back(context)
            raise

    def settle_tokens(self, caller: Caller, admitted: int, used: int) -> None:
        """So many were used up in place of what was admitted."""
        windows = _token_windows(caller, self._plans.of(caller.plan))
        if windows:
            self._correct_tokens(windows, _clamped(admitted, 0, windows), used)

    async def admit_run(self, request: Request, caller: Caller, run_id: str, spec: RunSpec | None) -> None:
        """Takes what a run needs that is about to start under this id, or to go on (`spec` None).

        Raises ApiError 429 and 503; the request then has taken nothing at all.
        """
        if (known := self._admitted.get(run_id)) and known.is_taken:
            return  # it was answered twice
        plan, context = self._plans.of(caller.plan), context_of(request.scope)
        try:
            self._queue.admit(run_id, plan)
            self._admitted[run_id] = await self._take_for(run_id, caller, plan, spec, context)
        except BaseException:
            self._queue.leave(run_id)
            self._give_back(context)
            raise

    def abandon(self, request: Request, run_id: str, *, elsewhere: bool = False) -> None:
        """Gives everything back if the run that was admitted has not started here.

        elsewhere: another replica may execute it, and hold its places.
        """
        admitted = self._admitted.get(run_id)
        if admitted is None or admitted.is_taken:
            return
        del self._admitted[run_id]
        self._queue.leave(run_id)
        self._give_back(context_of(request.scope))
        self._settle(admitted, 0)
        if elsewhere:
            self._counters.let_go(admitted.places, run_id)
        else:
            self._counters.release_soon(admitted.places, run_id)

    # What follows is `edge.runs.gate.Gate`.

    def has_turn(self, own: Ownership) -> bool:
        self._take_up(own)
        return self._queue.has_turn(own.run_id)

    def put_off(self, own: Ownership) -> None:
        self._take_up(own)
        self._queue.leave(own.run_id)

    async def enter(self, own: Ownership, tell: Callable[[int], None]) -> None:
        await self._queue.enter(own.run_id, tell)

    def idled(self, own: Ownership, seconds: float) -> None:
        self._queue.idled(own.run_id, seconds)

    def adopted(self, own: Ownership) -> None:
        subjects = _subjects(own.tenant, own.user, own.key_id)
        places = [_places_key(own.tenant, subject, name) for subject, name in subjects]
        self._admitted[own.run_id] = _Admitted((), 0, places)
        self._counters.adopt(places, own.run_id)

    async def left(self, own: Ownership, used: Usage) -> None:
        self._queue.leave(own.run_id)
        if admitted := self._admitted.pop(own.run_id, None):
            self._settle(admitted, used.prompt_tokens + used.completion_tokens)
            await self._counters.release(admitted.places, own.run_id)

    def lost(self, own: Ownership) -> None:
        self._queue.leave(own.run_id)
        if admitted := self._admitted.pop(own.run_id, None):
            # Not given free: whoever goes on with the run has them.
            self._counters.let_go(admitted.places, own.run_id)

    def _take_up(self, own: Ownership) -> None:
        if admitted := self._admitted.get(own.run_id):
            admitted.is_taken = True

    async def _take_for(
        self, run_id: str, caller: Caller, plan: Plan, spec: RunSpec | None, context: RequestContext
    ) -> _Admitted:
        windows = _token_windows(caller, plan)
        places = [
            Places(_places_key(caller.tenant, subject, name), plan.concurrent_runs[subject], subject)
            for subject, name in _subjects(caller.tenant, caller.user, caller.key_id)
            if subject in plan.concurrent_runs
        ]
        if not windows and not places:
            return _Admitted((), 0, ())
        estimate = _estimate(spec, windows)
        costs = [window.rate.cost_us(estimate) for window in windows]
        verdict = await self._counters.take(windows, costs, places, run_id)
        context.answer_headers += headers_of("tokens", windows, verdict.used_us)
        if not verdict.admitted:
            raise refusal("tokens", windows, verdict, places)
        return _Admitted(windows, estimate, [each.key for each in places])

    def _settle(self, admitted: _Admitted, tokens: int) -> None:
        self._correct_tokens(admitted.tokens, admitted.estimate, tokens)

    def _correct_tokens(self, windows: Sequence[Window], estimate: int, used: int) -> None:
        rates = [(window, window.rate) for window in windows]
        self._counters.correct([(window, rate.cost_us(used) - rate.cost_us(estimate)) for window, rate in rates])

    def _give_back(self, context: RequestContext) -> None:
        windows, context.taken = context.taken, ()
        self._counters.correct([(window, -window.rate.increment_us) for window in windows])

    def _windows_of(self, caller: Caller, plan: Plan, group: Group) -> Sequence[Window]:
        shares = plan.requests.get(group)
        if not shares:
            return ()
        known = (caller.tenant, caller.user, caller.key_id, plan.name, group)
        windows = self._windows.get(known)
        if windows is None:
            windows = [
                Window(_window_key(caller.tenant, subject, name, group, rate.period_s), rate, subject)
                for subject, name in _subjects(caller.tenant, caller.user, caller.key_id)
                for rate in shares.get(subject, ())
            ]
            while len(self._windows) >= CACHE_LIMIT:
                del self._windows[next(iter(self._windows))]
            self._windows[known] = windows
        return windows


def _subjects(tenant: str, user: str, key_id: str) -> Iterator[tuple[Subject, str]]:
    """Whose shares count for a caller; one without a key has no share of a key."""
    if key_id:
        yield Subject.KEY, key_id
    yield Subject.USER, user
    yield Subject.TENANT, ""


def _token_windows(caller: Caller, plan: Plan) -> Sequence[Window]:
    if not plan.tokens_per_minute:
        return ()
    return [
        Window(
            _window_key(caller.tenant, subject, name, "tokens", MINUTE_S),
            Rate(plan.tokens_per_minute[subject], MINUTE_S),
            subject,
        )
        for subject, name in _subjects(caller.tenant, caller.user, caller.key_id)
        if subject in plan.tokens_per_minute
    ]


def _estimate(spec: RunSpec | None, windows: Sequence[Window]) -> int:
    """What a run may use up, at least at first. Raises ApiError 429 where no waiting would help."""
    prompt, output = 0, OUTPUT_TOKENS
    if spec is not None:
        prompt = prompt_tokens_of(spec.input)
        if spec.options is not None and spec.options.HasField("max_tokens"):
            output = spec.options.max_tokens
    return _clamped(prompt, output, windows)


def _clamped(prompt: int, output: int, windows: Sequence[Window]) -> int:
    for window in windows:
        if prompt > window.rate.count:
            raise too_large(window, prompt)
        output = min(output, window.rate.count - prompt)
    return prompt + output


# A tenant's keys share a hash tag, so that a cluster keeps what one script touches on one node.
def _window_key(tenant: str, subject: str, name: str, what: str, period_s: int) -> str:
    return f"dm:limit:{{{tenant}}}:{subject}:{name}:{what}:{period_s}"


def _places_key(tenant: str, subject: str, name: str) -> str:
    return f"dm:places:{{{tenant}}}:{subject}:{name}"
