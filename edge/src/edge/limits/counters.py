"""What has been taken: counted in Redis for all replicas, and while it is away by each for its share."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from edge.redis_link import AWAY

from . import metrics
from .link import LimitsLink
from .local_share import Debt, LocalShare, Peers, now_us
from .news import News
from .scripts import CORRECT, HOLD, TAKE
from .windows import Places, Verdict, Window, waits

PROBE_S: Final = 0.3
"""How often a Redis that is away is asked whether it is back."""

TOLD_AT_ONCE: Final = 200
"""Windows that are handed back in one write."""

LEASES: Final = 3
"""Places are held for so many leases of a replica: a run that another one takes over keeps its place."""

_log = logging.getLogger(__name__)


@asynccontextmanager
async def open_counters(redis_url: str, peers: Peers, lease_s: float) -> AsyncIterator["Counters"]:
    """The counters, with their background tasks running."""
    link = LimitsLink(redis_url)
    local = LocalShare(peers)
    counters, news = Counters(link, local, lease_s), News(redis_url, link, local)
    parts = (counters.probe, counters.renew, news.tell, news.listen)
    tasks = [asyncio.create_task(_keep_going(part)) for part in parts]
    try:
        yield counters
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await counters.close()


async def _keep_going(part: Callable[[], Awaitable[None]]) -> None:
    """Runs a part that never ends by itself; a defect in it is logged and does not end it."""
    while True:
        try:
            await part()
        except Exception:  # noqa: BLE001 - the edge of a background part
            _log.exception("a part of the limits failed and starts again")
            await asyncio.sleep(1)


class Counters:
    """Windows and places. Nothing here raises because of Redis."""

    def __init__(self, link: LimitsLink, local: LocalShare, lease_s: float) -> None:
        self._link = link
        self._local = local
        self._lease_s = lease_s
        self._lease_us = int(lease_s * LEASES * 1_000_000)
        self._is_away = False
        self._background: set[asyncio.Task[None]] = set()

    @property
    def is_away(self) -> bool:
        """Whether this replica counts alone."""
        return self._is_away

    async def take(
        self,
        windows: Sequence[Window],
        costs_us: Sequence[int],
        places: Sequence[Places] = (),
        run_id: str = "",
    ) -> Verdict:
        """Takes from every window, and a place of every kind for the run; or nothing from any."""
        verdict = await self._take(windows, costs_us, places, run_id)
        if verdict.admitted:
            for each in places:
                self._local.hold(each.key, run_id)
        return verdict

    def correct(self, corrections: Sequence[tuple[Window, int]]) -> None:
        """Moves windows by microseconds: what was taken turned out to be more, or less. Does not wait for Redis."""
        wanted = [(window, delta) for window, delta in corrections if delta]
        if wanted:
            self._do(self._correct(wanted))

    async def release(self, places: Sequence[str], run_id: str) -> None:
        """A run has come to an end: its places are free."""
        self.let_go(places, run_id)
        if self._is_away:
            return  # there its lease ends
        try:
            await asyncio.gather(*(self._link.do("ZREM", key, run_id) for key in places))
        except AWAY as error:
            self._go_alone(error)

    def release_soon(self, places: Sequence[str], run_id: str) -> None:
        """The same, without waiting for Redis."""
        if places:
            self._do(self.release(places, run_id))

    def let_go(self, places: Sequence[str], run_id: str) -> None:
        """A run is executed here no more; its places are free once their lease ends, unless somebody renews it."""
        for key in places:
            self._local.release(key, run_id)

    def adopt(self, places: Sequence[str], run_id: str) -> None:
        """A run was taken over from a replica that is gone, with the places that it may hold."""
        for key in places:
            self._local.hold(key, run_id, surely=False)
        self._do(self._hold([(key, False, [run_id]) for key in places]))

    async def settle(self) -> None:
        """Returns when nothing is under way any more."""
        while self._background:
            await asyncio.wait(tuple(self._background))

    async def renew(self) -> None:
        """Keeps the places of the runs that go on here, until cancelled."""
        while True:
            await asyncio.sleep(self._lease_s)
            if not self._is_away:
                await self._hold(self._local.held())

    async def probe(self) -> None:
        """Watches for Redis to come back, until cancelled."""
        while True:
            await asyncio.sleep(PROBE_S)
            if self._is_away:
                try:
                    await self._come_back()
                except AWAY as error:
                    _log.debug("redis is still away", extra={"cause": repr(error)})

    async def close(self) -> None:
        """Ends what is under way."""
        try:
            async with asyncio.timeout(1):
                await self.settle()
        except TimeoutError:
            _log.debug("some limits were not settled")
        for task in tuple(self._background):
            task.cancel()
        await self._link.close()

    async def _take(
        self, windows: Sequence[Window], costs_us: Sequence[int], places: Sequence[Places], run_id: str
    ) -> Verdict:
        if self._is_away:
            return self._local.take(windows, costs_us, places, run_id)
        if not places and (refused := self._local.refused(windows, costs_us)):
            return refused
        keys = [*(window.key for window in windows), *(each.key for each in places)]
        arguments: list[str | int] = [len(windows), run_id, self._lease_us]
        for window, cost in zip(windows, costs_us, strict=True):
            arguments += (cost, window.capacity_us)
        arguments += [each.limit for each in places]
        asked_at, started = now_us(), time.perf_counter()
        try:
            admitted, *numbers = await self._link.run(TAKE, keys, arguments)
        except AWAY as error:
            self._go_alone(error)
            return self._local.take(windows, costs_us, places, run_id)
        metrics.CHECK_SECONDS.observe(time.perf_counter() - started)
        used, held = numbers[: len(windows)], numbers[len(windows) :]
        self._local.note(windows, used, asked_at)
        return Verdict(bool(admitted), used, () if admitted else waits(windows, used, costs_us), held)

    async def _correct(self, corrections: Sequence[tuple[Window, int]]) -> None:
        if not self._is_away:
            for window, _ in corrections:
                self._local.forget(window.key)
            asks = [
                self._link.run(CORRECT, [window.key], [0, delta, window.capacity_us]) for window, delta in corrections
            ]
            try:
                await asyncio.gather(*asks)
            except AWAY as error:
                self._go_alone(error)
            else:
                return
        for window, delta in corrections:
            self._local.correct(window, delta)

    async def _hold(self, held: Iterable[tuple[str, bool, Sequence[str]]]) -> None:
        try:
            await asyncio.gather(
                *(self._link.run(HOLD, [key], [self._lease_us, int(not surely), *runs]) for key, surely, runs in held)
            )
        except AWAY as error:
            self._go_alone(error)

    def _go_alone(self, error: BaseException) -> None:
        if not self._is_away:
            self._is_away = True
            self._local.go_alone()
            metrics.SHARED.set(0)
            _log.warning("redis is away: each replica keeps its share of the limits", extra={"cause": repr(error)})

    async def _come_back(self) -> None:
        self._local.begin_hand_back()
        while debts := self._local.to_hand_back(TOLD_AT_ONCE):
            asked_at = now_us()
            answers = await asyncio.gather(*(self._tell(debt) for debt in debts))
            for debt, used in zip(debts, answers, strict=True):
                self._local.handed_back(debt, used, asked_at)
        await self._link.do("PING")
        if self._local.to_hand_back(1):
            return  # something was given out just now; next time
        self._is_away = False
        metrics.SHARED.set(1)
        _log.info("redis is back: the limits are counted for all replicas again")
        self._do(self._hold(self._local.held()))

    async def _tell(self, debt: Debt) -> int:
        arguments = [debt.floor_us, debt.taken_us, debt.window.capacity_us]
        return int(await self._link.run(CORRECT, [debt.window.key], arguments))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
