"""Each replica's share while Redis is away: together never more than the limit, wherever Redis left the windows."""

import random
from collections.abc import Sequence

import pytest
from edge.limits.local_share import LocalShare, share_of
from edge.limits.rates import Rate
from edge.limits.windows import Places, Window


class Clock:
    """A time that stands still unless it is moved."""

    def __init__(self) -> None:
        self.us = 10**12

    def __call__(self) -> int:
        return self.us


def replicas(count: int, clock: Clock) -> list[LocalShare]:
    shares = [LocalShare(lambda number=number: (number, count), clock) for number in range(count)]  # type: ignore[misc]
    for share in shares:
        share.go_alone()
    return shares


def admitted(shares: Sequence[LocalShare], window: Window, asks: int) -> int:
    """How many of so many requests at every replica are let through."""
    return sum(share.take([window], [window.rate.increment_us]).admitted for share in shares for _ in range(asks))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("limit", [1, 2, 10, 100, 1001])
def test_shares_add_up_to_the_limit(limit: int, count: int) -> None:
    for key in ("a", "b", "c"):
        assert sum(share_of(limit, key, (number, count)) for number in range(count)) == limit


@pytest.mark.parametrize("limit", [1, 3, 10, 100])
def test_together_the_replicas_give_out_exactly_the_limit(limit: int) -> None:
    window = Window("k", Rate(limit, 3600), "key")
    assert admitted(replicas(4, Clock()), window, limit) == limit


def test_what_redis_had_given_out_is_not_given_out_again() -> None:
    clock, dice = Clock(), random.Random(5)
    for _ in range(50):
        limit = dice.randint(4, 100)
        window = Window("k", Rate(limit, 3600), "key")
        used = dice.randint(0, limit)
        shares = replicas(4, clock)
        for share in shares:
            share.note([window], [used * window.rate.increment_us], clock.us)
        more = admitted(shares, window, limit)
        assert used + more <= limit
        assert more >= limit - used - 4  # each rounds down once


def test_a_share_comes_back_with_time() -> None:
    clock = Clock()
    window = Window("k", Rate(40, 60), "key")
    (share, *_) = replicas(4, clock)
    assert admitted([share], window, 100) == 10
    clock.us += 6_000_000  # a tenth of the minute brings a tenth of the share
    assert admitted([share], window, 100) == 1
    clock.us += 600_000_000
    assert admitted([share], window, 100) == 10


def test_a_refused_request_takes_nothing_from_any_window() -> None:
    clock = Clock()
    (share,) = replicas(1, clock)
    wide, narrow = Window("w", Rate(100, 3600), "key"), Window("n", Rate(1, 3600), "user")
    costs = [wide.rate.increment_us, narrow.rate.increment_us]
    assert [share.take([wide, narrow], costs).admitted for _ in range(50)].count(True) == 1
    assert admitted([share], wide, 200) == 99


def test_what_was_given_out_alone_is_told_to_redis_and_no_more() -> None:
    clock = Clock()
    window = Window("k", Rate(100, 3600), "key")
    shares = replicas(4, clock)
    for share in shares:
        share.note([window], [20 * window.rate.increment_us], clock.us)
    given = [admitted([share], window, asks) for share, asks in zip(shares, (3, 0, 7, 30), strict=True)]
    told = []
    for share in shares:
        share.begin_hand_back()
        (debt,) = share.to_hand_back(10)
        assert debt.floor_us == 20 * window.rate.increment_us
        told.append(round(debt.taken_us / window.rate.increment_us))
        share.handed_back(debt, debt.floor_us + debt.taken_us, clock.us)
        assert share.to_hand_back(10) == []
    assert told == given


def test_what_is_given_out_while_redis_is_told_is_told_next() -> None:
    clock = Clock()
    (share,) = replicas(1, clock)
    window = Window("k", Rate(100, 3600), "key")
    admitted([share], window, 5)
    share.begin_hand_back()
    (debt,) = share.to_hand_back(10)
    admitted([share], window, 2)
    share.handed_back(debt, 5 * window.rate.increment_us, clock.us)
    (rest,) = share.to_hand_back(10)
    assert (rest.floor_us, rest.taken_us) == (5 * window.rate.increment_us, 2 * window.rate.increment_us)


def test_what_is_used_up_is_refused_without_asking_for_a_moment() -> None:
    clock = Clock()
    (share,) = replicas(1, clock)
    window = Window("k", Rate(10, 60), "key")
    cost = [window.rate.increment_us]
    share.note([window], [window.capacity_us], clock.us)
    assert share.refused([window], cost) is not None
    clock.us += 1_000_001
    assert share.refused([window], cost) is None  # perhaps it was given back elsewhere
    share.note([window], [window.capacity_us - 5_000_000], clock.us)
    assert share.refused([window], cost) is not None
    clock.us += 999_999
    assert share.refused([window], cost) is not None
    share.note([window], [window.capacity_us - 6_000_000], clock.us)
    assert share.refused([window], cost) is None


def test_places_are_shared_too() -> None:
    places = [Places("p", 6, "user")]
    total = 0
    for number, share in enumerate(replicas(4, Clock())):
        for each in range(10):
            run = f"run{number}.{each}"
            if share.take([], [], places, run).admitted:
                share.hold("p", run)
                total += 1
    assert total == 6


def test_memory_is_bounded() -> None:
    (share,) = replicas(1, Clock())
    rate = Rate(10, 60)
    for number in range(60_000):
        share.note([Window(f"dm:limit:{{{number}}}:address", rate, "address")], [rate.increment_us], 10**12)
    assert len(share._seen) == 50_000


def test_a_share_stays_what_it_is_until_redis_knows_of_everything() -> None:
    """Replicas that Redis does not know of yet, once it is back, have had their shares all the same."""
    peers = (1, 4)
    share = LocalShare(lambda: peers, Clock())
    share.go_alone()
    window = Window("k", Rate(100, 3600), "key")
    assert admitted([share], window, 5) == 5
    peers = (0, 1)
    share.begin_hand_back()
    (debt,) = share.to_hand_back(10)
    assert debt.taken_us == 5 * window.rate.increment_us
