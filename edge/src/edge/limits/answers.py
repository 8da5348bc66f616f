"""What limits say to clients: OpenAI's headers, and a 429 that its SDKs know how to obey."""

import math
from collections.abc import Sequence
from typing import Final, Literal

from dormouse.common.v1.error_pb2 import ErrorReason

from edge.errors import ApiError

from . import metrics
from .windows import Places, Verdict, Window

Kind = Literal["requests", "tokens"]
Headers = list[tuple[bytes, bytes]]

OBEYED_S: Final = 60.0
"""The SDKs obey a wait up to this; what is longer they replace by one of their own, so they are told not to retry."""

BUSY_S: Final = 1.0
"""When to come again where all places for runs are held: nobody knows when a run ends."""

_WHOSE: Final = {"key": "this API key", "user": "this user", "tenant": "this organization", "address": "this address"}


def duration(microseconds: int) -> str:
    """As OpenAI writes them: `120ms`, `1.5s`, `6m0s`, `1h0m36s`; never less than it is."""
    ms = -(-microseconds // 1000)
    if ms < 1000:
        return f"{ms}ms"
    minutes, rest = divmod(ms, 60_000)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def headers_of(kind: Kind, windows: Sequence[Window], used_us: Sequence[int]) -> Headers:
    """Of the window that has least left: how much it holds, how much is left, when all of it will be there again."""
    if not windows:
        return []
    window, used = min(zip(windows, used_us, strict=True), key=lambda each: (each[0].left(each[1]), -each[1]))
    values = (("limit", window.rate.count), ("remaining", window.left(used)), ("reset", duration(used)))
    return [(f"x-ratelimit-{name}-{kind}".encode(), str(value).encode()) for name, value in values]


def refusal(kind: Kind, windows: Sequence[Window], verdict: Verdict, places: Sequence[Places] = ()) -> ApiError:
    """The error for what was in the way: the window that has to be waited for longest, or else the places."""
    wait_us, window = max(zip(verdict.waits_us, windows, strict=True), key=lambda each: each[0], default=(0, None))
    if window is None or not wait_us:
        return _all_held(places, verdict.held)
    metrics.REFUSALS.labels(kind, window.subject).inc()
    message = f"Rate limit reached for {_WHOSE[window.subject]} on {kind}: {window.rate}."
    return _refused(f"{message} Please try again in {duration(wait_us)}.", wait_us / 1_000_000)


def too_large(window: Window, tokens: int) -> ApiError:
    """A request that no waiting makes small enough."""
    metrics.REFUSALS.labels("tokens", window.subject).inc()
    error = ApiError.of(
        ErrorReason.ERROR_REASON_RATE_LIMITED,
        f"Request too large for {_WHOSE[window.subject]} on tokens: {window.rate}, about {tokens} requested.",
    )
    error.headers["x-should-retry"] = "false"
    return error


def _all_held(places: Sequence[Places], held: Sequence[int]) -> ApiError:
    full = [each for each, count in zip(places, held, strict=True) if count >= each.limit] or places
    least = min(full, key=lambda each: each.limit)
    metrics.REFUSALS.labels("concurrent_runs", least.subject).inc()
    message = f"Rate limit reached for {_WHOSE[least.subject]} on concurrent runs: {least.limit} at once."
    return _refused(f"{message} Please try again when one of them has ended.", BUSY_S)


def _refused(message: str, wait_s: float) -> ApiError:
    error = ApiError.of(ErrorReason.ERROR_REASON_RATE_LIMITED, message)
    error.headers["retry-after"] = str(math.ceil(wait_s))
    error.headers["retry-after-ms"] = str(math.ceil(wait_s * 1000))
    error.headers["x-should-retry"] = "true" if wait_s <= OBEYED_S else "false"
    return error
