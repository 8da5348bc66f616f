"""What a client is told of its limits."""

import pytest
from edge.limits.answers import duration, headers_of, refusal
from edge.limits.rates import Rate
from edge.limits.windows import Places, Verdict, Window, waits

MINUTE = Window("m", Rate(10, 60), "key")
HOUR = Window("h", Rate(100, 3600), "user")


@pytest.mark.parametrize(
    ("microseconds", "written"),
    [
        (0, "0ms"),
        (1, "1ms"),
        (999_000, "999ms"),
        (999_001, "1s"),
        (1_500_000, "1.5s"),
        (59_999_999, "1m0s"),
        (360_000_000, "6m0s"),
        (3_636_000_000, "1h0m36s"),
    ],
)
def test_times_are_written_as_openai_does_and_never_too_short(microseconds: int, written: str) -> None:
    assert duration(microseconds) == written


def test_headers_tell_of_the_window_that_has_least_left() -> None:
    headers = dict(headers_of("requests", [MINUTE, HOUR], [6_000_000, 98 * 36_000_000]))
    assert headers == {
        b"x-ratelimit-limit-requests": b"100",
        b"x-ratelimit-remaining-requests": b"2",
        b"x-ratelimit-reset-requests": b"58m48s",
    }


def test_a_refusal_tells_of_the_longest_wait() -> None:
    used = [MINUTE.capacity_us, HOUR.capacity_us - 6_000_000]
    costs = [window.rate.increment_us for window in (MINUTE, HOUR)]
    error = refusal("requests", [MINUTE, HOUR], Verdict(False, used, waits([MINUTE, HOUR], used, costs)))
    assert (error.status, error.type, error.code) == (429, "rate_limit_error", "rate_limit_exceeded")
    assert error.headers == {"retry-after": "30", "retry-after-ms": "30000", "x-should-retry": "true"}
    assert "100 per hour" in error.message
    assert "30s" in error.message


def test_nobody_is_asked_to_retry_after_more_than_the_sdks_obey() -> None:
    used = [HOUR.capacity_us + 120_000_000]
    error = refusal("requests", [HOUR], Verdict(False, used, waits([HOUR], used, [HOUR.rate.increment_us])))
    assert (error.headers["retry-after"], error.headers["x-should-retry"]) == ("156", "false")


def test_a_refusal_for_want_of_a_place_names_the_smallest_that_is_full() -> None:
    places = [Places("a", 3, "user"), Places("b", 9, "tenant")]
    error = refusal("tokens", [MINUTE], Verdict(False, [0], [0], [3, 4]), places)
    assert "3 at once" in error.message
    assert error.headers["retry-after"] == "1"
