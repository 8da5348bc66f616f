"""While Redis is away: each replica gives out its share, from where the windows stood when Redis was last heard.

With n replicas a window of N becomes n windows that hold N together, the odd ones going round by the window's key. What
was given out meanwhile is handed to Redis when it is back, so that nobody starts with a full window again.
"""

import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .rates import Rate
from .windows import Places, Verdict, Window, waits

SEEN_LIMIT: Final = 50_000
"""Windows whose state is remembered; the ones that were not used for the longest time are forgotten first."""

FRESH_US: Final = 1_000_000
"""For so long a window that was used up is refused without asking Redis, which cannot have changed much."""

NO_SHARE_US: Final = 1_000_000
"""When to come again to a replica that has no share of a small limit: another one has."""

NEWS_SHARE: Final = 10
"""The other replicas hear of windows of which more than the tenth is used: what they may give out too much because they
have never heard of one is less than that."""

Peers = Callable[[], tuple[int, int]]
"""Which of the live replicas this one is, counted from 0, and how many there are."""


def now_us() -> int:
    """This process' own clock, in microseconds."""
    return time.monotonic_ns() // 1000


def share_of(count: int, key: str, peers: tuple[int, int]) -> int:
    """This replica's part of `count`; the parts of all replicas add up to it."""
    mine, replicas = peers
    part, odd = divmod(count, replicas)
    return part + ((mine - zlib.crc32(key.encode())) % replicas < odd)


@dataclass(frozen=True, slots=True)
class Debt:
    """What Redis has to hear of one window, in microseconds: how far it is ahead at least, and what was taken since."""

    window: Window
    floor_us: int
    taken_us: int
    until: int
    """How this replica's share stood when it was told."""


class LocalShare:
    """Remembers what Redis said last, and decides by it when there is nothing else to decide by."""

    def __init__(self, peers: Peers, clock: Callable[[], int] = now_us) -> None:
        self._ask_peers = peers
        self._peers = (0, 1)
        self._clock = clock
        self._seen: dict[str, tuple[int, int, Window]] = {}  # key → when it is used up, when that was said
        self._news: dict[str, None] = {}
        self._own: dict[str, tuple[int, Window]] = {}  # key → when this replica's share is used up
        self._runs: dict[str, dict[str, bool]] = {}  # key of places → runs here; whether they surely hold one

    def go_alone(self) -> None:
        """Redis is away: until it is back and has been told everything, the share stays what it is now."""
        self._peers = self._ask_peers()

    def note(self, windows: Sequence[Window], used_us: Sequence[int], asked_at: int) -> None:
        """Remembers Redis' answer to a question that was sent at `asked_at`."""
        seen = self._seen
        for window, used in zip(windows, used_us, strict=True):
            seen.pop(window.key, None)
            seen[window.key] = (asked_at + used, asked_at, window)
            if used * NEWS_SHARE > window.capacity_us:
                self._news[window.key] = None
        self._trim()

    def news(self, most: int) -> list[tuple[str, int, int, str, int]]:
        """Windows that other replicas should hear of, each once: key, count, period, subject, how far it is ahead."""
        now = self._clock()
        told: list[tuple[str, int, int, str, int]] = []
        while self._news and len(told) < most:
            key = next(iter(self._news))
            del self._news[key]
            if known := self._seen.get(key):
                until, _, window = known
                told.append((key, window.rate.count, window.rate.period_s, window.subject, until - now))
        return told

    def hear(self, news: Iterable[tuple[str, int, int, str, int]]) -> None:
        """What another replica says of windows: counts where this one has heard less."""
        now = self._clock()
        for key, count, period_s, subject, used in news:
            known = self._seen.get(key)
            if known is None:
                self._seen[key] = (now + used, 0, Window(key, Rate(count, period_s), subject))
            elif known[0] < now + used:
                self._seen[key] = (now + used, known[1], known[2])
        self._trim()

    def forget(self, key: str) -> None:
        """What was said of a window does not count any more."""
        self._seen.pop(key, None)

    def refused(self, windows: Sequence[Window], costs_us: Sequence[int]) -> Verdict | None:
        """The verdict that Redis would give once more, where that is sure: a window was used up a moment ago."""
        now, seen = self._clock(), self._seen
        for window, cost in zip(windows, costs_us, strict=True):
            known = seen.get(window.key)
            if known and now - known[1] < FRESH_US and known[0] - now + cost > window.capacity_us:
                used = [max(0, seen[each.key][0] - now) if each.key in seen else 0 for each in windows]
                return Verdict(False, used, waits(windows, used, costs_us))
        return None

    def take(
        self, windows: Sequence[Window], costs_us: Sequence[int], places: Sequence[Places] = (), run_id: str = ""
    ) -> Verdict:
        """Decides alone."""
        now, peers = self._clock(), self._peers
        used = [self._level(window, now) for window in windows]
        ahead, waits_us = [], []
        for window, cost, level in zip(windows, costs_us, used, strict=True):
            share = share_of(window.rate.count, window.key, peers)
            # A smaller share of the same size is used up faster.
            ahead.append(level + (cost * window.rate.count // share if share else 0))
            waits_us.append(max(0, ahead[-1] - window.capacity_us) if share else NO_SHARE_US)
        held = [len(self._runs.get(each.key, {}).keys() - {run_id}) for each in places]
        is_full = any(taken >= share_of(each.limit, each.key, peers) for each, taken in zip(places, held, strict=True))
        if is_full or any(waits_us):
            return Verdict(False, used, waits_us, held)
        for window, level in zip(windows, ahead, strict=True):
            self._own[window.key] = (now + level, window)
        return Verdict(True, ahead, (), held)

    def correct(self, window: Window, delta_us: int) -> None:
        """What was taken turned out to be more (above 0) or less."""
        now, share = self._clock(), share_of(window.rate.count, window.key, self._peers)
        level = self._level(window, now) + (delta_us * window.rate.count // share if share else 0)
        self._own[window.key] = (now + max(0, level), window)

    def hold(self, key: str, run_id: str, *, surely: bool = True) -> None:
        """A run here has one of the places; or not `surely`: it has if Redis knows of it."""
        self._runs.setdefault(key, {})[run_id] = surely

    def release(self, key: str, run_id: str) -> None:
        """It has it no more."""
        runs = self._runs.get(key)
        if runs is not None:
            runs.pop(run_id, None)
            if not runs:
                del self._runs[key]

    def held(self) -> Iterator[tuple[str, bool, list[str]]]:
        """Keys of places, whether the runs surely hold one, and those runs."""
        for key, runs in tuple(self._runs.items()):
            for surely in (True, False):
                if those := [run_id for run_id, is_sure in runs.items() if is_sure is surely]:
                    yield key, surely, those

    def begin_hand_back(self) -> None:
        """Redis is back, and may have forgotten: everything that is not used up is to be told."""
        now = self._clock()
        for key, (until, _, window) in tuple(self._seen.items()):
            if until > now:
                self._own.setdefault(key, (until, window))

    def to_hand_back(self, most: int) -> list[Debt]:
        """Some windows of which Redis has to hear. None: it knows everything, and can be asked again."""
        now, peers = self._clock(), self._peers
        debts: list[Debt] = []
        for key, (until, window) in tuple(self._own.items()):
            known = self._seen.get(key)
            floor = max(0, known[0] - now) if known else 0
            taken = (max(0, until - now) - floor) * share_of(window.rate.count, key, peers) // window.rate.count
            if not floor and not taken:
                del self._own[key]
                continue
            debts.append(Debt(window, floor, taken, until))
            if len(debts) == most:
                break
        return debts

    def handed_back(self, debt: Debt, used_us: int, asked_at: int) -> None:
        """Redis has heard of it, and the window is so far ahead now."""
        key = debt.window.key
        until, window = self._own.pop(key)
        self._seen[key] = (asked_at + used_us, asked_at, window)
        if until > debt.until:  # more was taken meanwhile
            self._own[key] = (asked_at + used_us + until - debt.until, window)

    def _trim(self) -> None:
        while len(self._seen) > SEEN_LIMIT:
            del self._seen[next(iter(self._seen))]

    def _level(self, window: Window, now: int) -> int:
        """How far the window is ahead for this replica."""
        if own := self._own.get(window.key):
            return max(0, own[0] - now)
        known = self._seen.get(window.key)
        return max(0, known[0] - now) if known else 0
