"""The script of the limits against a plain model of buckets that fill up again, on a clock that the test moves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from devstack.valkey import Valkey
from edge.limits.rates import Rate
from edge.limits.scripts import CORRECT, DEBT, TAKE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

CLOCK = "redis.call('HMGET', 'test:clock', 's', 'us')"
RATES = (Rate(1, 60), Rate(3, 60), Rate(7, 60), Rate(10, 60), Rate(13, 3600), Rate(100, 3600), Rate(1000, 86400))


@pytest.fixture(scope="module")
def redis(valkey: Valkey) -> Iterator[Redis]:
    with Redis.from_url(valkey.url) as redis:
        yield redis


@dataclass(slots=True)
class Bucket:
    """Holds `count`, and gets one back in every `increment`."""

    rate: Rate
    holds: Fraction = field(init=False)
    at: int = 0

    def __post_init__(self) -> None:
        self.holds = Fraction(self.rate.count)

    def fill(self, now: int) -> None:
        self.holds = min(Fraction(self.rate.count), self.holds + Fraction(now - self.at, self.rate.increment_us))
        self.at = now


@dataclass(frozen=True, slots=True)
class Step:
    """Time goes on; then some windows are asked for some amounts, or one is corrected."""

    later_us: int
    asked: Sequence[tuple[int, int]]
    corrected: tuple[int, int] | None


STEPS = st.lists(
    st.builds(
        Step,
        st.one_of(st.just(0), st.integers(1, 1000), st.integers(0, 90_000_000)),
        st.lists(st.tuples(st.integers(0, len(RATES) - 1), st.integers(0, 4)), unique_by=lambda each: each[0]),
        st.one_of(st.none(), st.tuples(st.integers(0, len(RATES) - 1), st.integers(-5, 5))),
    ),
    max_size=40,
)


@given(STEPS, st.integers(1_700_000_000, 2_200_000_000))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_script_agrees_with_a_plain_model_to_the_microsecond(redis: Redis, steps: list[Step], began_s: int) -> None:
    keys = [f"test:{{gcra}}:{number}" for number in range(len(RATES))]
    redis.delete(*keys)
    take = redis.register_script(TAKE.replace("redis.call('TIME')", CLOCK))
    correct = redis.register_script(CORRECT.replace("redis.call('TIME')", CLOCK))
    now = began_s * 1_000_000
    buckets = [Bucket(rate, at=now) for rate in RATES]
    for step in steps:
        now += step.later_us
        redis.hset("test:clock", mapping={"s": now // 1_000_000, "us": now % 1_000_000})
        for bucket in buckets:
            bucket.fill(now)
        arguments: list[int | str] = [len(step.asked), "run", 0]
        for number, amount in step.asked:
            arguments += (amount * RATES[number].increment_us, RATES[number].capacity_us)
        admitted, *used = take(keys=[keys[number] for number, _ in step.asked], args=arguments)
        expected = all(amount <= buckets[number].holds for number, amount in step.asked)
        assert bool(admitted) == expected
        if expected:
            for number, amount in step.asked:
                buckets[number].holds -= amount
        for (number, _), ahead in zip(step.asked, used, strict=True):
            assert ahead == (RATES[number].count - buckets[number].holds) * RATES[number].increment_us
        if step.corrected:
            number, amount = step.corrected
            bucket = buckets[number]
            bucket.holds = max(bucket.holds - amount, Fraction(-(DEBT - 1) * bucket.rate.count))
            bucket.holds = min(bucket.holds, Fraction(bucket.rate.count))
            correct(keys=[keys[number]], args=[0, amount * bucket.rate.increment_us, bucket.rate.capacity_us])


def test_a_window_that_is_used_up_entirely_is_forgotten_by_itself(redis: Redis) -> None:
    rate = Rate(10, 60)
    redis.delete("test:{gcra}:ttl")
    take = redis.register_script(TAKE)
    take(keys=["test:{gcra}:ttl"], args=[1, "", 0, rate.increment_us, rate.capacity_us])
    assert 5900 <= redis.pttl("test:{gcra}:ttl") <= 6000


def test_a_clock_that_is_set_back_blocks_nobody_for_long(redis: Redis) -> None:
    rate = Rate(10, 60)
    take = redis.register_script(TAKE.replace("redis.call('TIME')", CLOCK))
    redis.delete("test:{gcra}:back")
    for back_s, is_admitted in ((0, 1), (90, 0), (3600, 1)):
        redis.hset("test:clock", mapping={"s": 1_800_003_600 - back_s, "us": 0})
        admitted, _ = take(keys=["test:{gcra}:back"], args=[1, "", 0, rate.increment_us, rate.capacity_us])
        assert admitted == is_admitted


def test_exactly_as_many_as_a_window_holds_are_admitted_at_one_moment(redis: Redis) -> None:
    take = redis.register_script(TAKE.replace("redis.call('TIME')", CLOCK))
    redis.hset("test:clock", mapping={"s": 1_800_000_000, "us": 999_999})
    for rate in (*RATES, Rate(9_999, 60), Rate(100_000, 1)):
        redis.delete("test:{gcra}:all")
        arguments: list[int | str] = [1, "", 0, rate.increment_us, rate.capacity_us]
        at_a_time = -(-rate.count // 2000)
        arguments[3] = at_a_time * rate.increment_us
        with redis.pipeline(transaction=False) as pipe:
            for _ in range(rate.count // at_a_time + 50):
                take(keys=["test:{gcra}:all"], args=arguments, client=pipe)
            answers = [admitted for admitted, _ in pipe.execute()]
        assert sum(answers) == rate.count // at_a_time
