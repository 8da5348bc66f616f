"""The queue in front of runs: so many are executed at once, a bounded number waits, the rest is refused at once.

Refusing costs no call and reads no body, so that who has been admitted keeps what they would have had alone.
"""

import asyncio
import math
import time
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

from edge.errors import ApiError

from . import metrics
from .plans import UNLIMITED, Plan

MEMORY: Final = 0.1
"""What the length of one run counts in the expected length of the next."""

FIRST_RUN_S: Final = 1.0
"""What a run is expected to take before one has ended."""

TELL_EVERY_S: Final = 1.0
"""A run that waits is told of its position no more often: everybody moves whenever one run ends."""

RETRY_LEAST_S: Final = 1.0
RETRY_MOST_S: Final = 30.0
"""What a refused client is asked to wait."""

_ANY: Final = Plan(name=UNLIMITED)
_BUSY: Final = "The platform is busy with other runs; try again shortly."


@dataclass(slots=True, eq=False)
class _Waiting:
    """One run in the queue."""

    run_id: str
    plan: Plan
    number: int
    turn: asyncio.Future[None]

    def __lt__(self, other: "_Waiting") -> bool:
        return (-self.plan.priority, self.number) < (-other.plan.priority, other.number)


class RunQueue:
    """The runs of one replica, by their ids.

    capacity: how many are executed at once; 0: any number, and nothing is counted. length: how many may wait. wait_s:
    how long one may wait; who would have to wait longer, by the length of the runs before, is refused.
    """

    def __init__(
        self,
        capacity: int = 0,
        length: int = 0,
        wait_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capacity = capacity
        self._length = length
        self._wait_s = wait_s
        self._clock = clock
        self._expected: dict[str, Plan] = {}  # admitted, and about to come
        self._waiting: list[_Waiting] = []  # who is next stands first
        self._executed: dict[str, float] = {}  # since when
        self._numbers = 0
        self._run_s = FIRST_RUN_S

    @property
    def executed(self) -> int:
        """How many runs are executed."""
        return len(self._executed)

    @property
    def waiting(self) -> int:
        """How many runs wait."""
        return len(self._waiting)

    def require_room(self, plan: Plan) -> None:
        """Raises ApiError 503 where a run of this plan would be refused. Takes nothing."""
        if not self._capacity or self._has_room(plan):
            return
        metrics.SHED_RUNS.labels(plan.name).inc()
        raise self._refusal()

    def admit(self, run_id: str, plan: Plan) -> None:
        """Takes a place for a run that is about to start. Raises ApiError 503."""
        if self._capacity:
            self.require_room(plan)
            self._expected[run_id] = plan

    def has_turn(self, run_id: str) -> bool:
        """Whether the run need not wait."""
        return not self._capacity or run_id in self._executed or len(self._executed) < self._capacity

    async def enter(self, run_id: str, tell: Callable[[int], None]) -> None:
        """Returns once the run may be executed; meanwhile `tell` hears of its position, 1 for the next.

        A run that was not admitted here, because it was taken over or had to wait for its thread, is never refused.
        Raises OVERLOADED when it takes too long.
        """
        if not self._capacity or run_id in self._executed:
            return
        plan = self._expected.pop(run_id, _ANY)
        if len(self._executed) >= self._capacity:
            await self._wait(run_id, plan, tell)
        else:
            self._execute(run_id)

    def idled(self, run_id: str, seconds: float) -> None:
        """So much of the run's time says nothing of how long the next ones take. It keeps its place."""
        if run_id in self._executed:
            self._executed[run_id] += seconds

    def leave(self, run_id: str) -> None:
        """The run is executed no more, or does not come: the next one may be."""
        self._expected.pop(run_id, None)
        since = self._executed.pop(run_id, None)
        if since is None:
            return
        self._run_s += MEMORY * (self._clock() - since - self._run_s)
        self._call_next()

    def _execute(self, run_id: str) -> None:
        self._executed[run_id] = self._clock()
        metrics.EXECUTED_RUNS.set(len(self._executed))

    async def _wait(self, run_id: str, plan: Plan, tell: Callable[[int], None]) -> None:
        self._numbers += 1
        waiting = _Waiting(run_id, plan, self._numbers, asyncio.get_running_loop().create_future())
        insort(self._waiting, waiting)
        metrics.WAITING_RUNS.set(len(self._waiting))
        began, told = self._clock(), 0
        try:
            async with asyncio.timeout(self._wait_s):
                while not waiting.turn.done():
                    position = self._waiting.index(waiting) + 1
                    if position != told:
                        tell(position)
                        told = position
                    await asyncio.wait((waiting.turn,), timeout=TELL_EVERY_S)
        except TimeoutError:
            self._step_out(waiting)
            raise DormouseError(ErrorReason.ERROR_REASON_OVERLOADED, _BUSY) from None
        except asyncio.CancelledError:
            self._step_out(waiting)
            raise
        metrics.WAIT_SECONDS.observe(self._clock() - began)

    def _call_next(self) -> None:
        """The place of a run that has ended is the next one's at once, before its task goes on."""
        metrics.EXECUTED_RUNS.set(len(self._executed))
        if self._waiting:
            called = self._waiting.pop(0)
            metrics.WAITING_RUNS.set(len(self._waiting))
            self._execute(called.run_id)
            called.turn.set_result(None)

    def _step_out(self, waiting: _Waiting) -> None:
        if waiting.turn.done():  # it had been called already
            del self._executed[waiting.run_id]
            self._call_next()
        else:
            self._waiting.remove(waiting)
            metrics.WAITING_RUNS.set(len(self._waiting))

    def _has_room(self, plan: Plan) -> bool:
        free = self._capacity - len(self._executed)
        queued = len(self._waiting) + len(self._expected) - free
        if queued < 0:
            return True
        if queued >= self._length:
            return False
        mine = sum(each.plan.name == plan.name for each in self._waiting)
        if mine >= math.ceil(plan.queue_share * self._length):
            return False
        before = sum(each.plan.priority >= plan.priority for each in self._waiting)
        return (before + 1) * self._run_s / self._capacity <= self._wait_s

    def _refusal(self) -> ApiError:
        wait_s = (len(self._waiting) + 1) * self._run_s / self._capacity
        wait_s = min(max(wait_s, RETRY_LEAST_S), RETRY_MOST_S)
        error = ApiError.of(ErrorReason.ERROR_REASON_OVERLOADED, _BUSY)
        error.headers["retry-after"] = str(math.ceil(wait_s))
        error.headers["retry-after-ms"] = str(math.ceil(wait_s * 1000))
        return error
