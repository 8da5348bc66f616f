"""How much time the present call has left, and the rule that nothing it calls may have more.

The server binds each call's deadline to its task; `remaining_s()` reads it there, in code that knows nothing of gRPC
too. `open_channel` caps the timeout of every call below with it. A task that is to outlive its call is started in an
empty `contextvars.Context`. (On the wire gRPC rounds a timeout up by as much as 1 %; the caller's end cancels on time.)
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Final

_deadline: Final[ContextVar[float | None]] = ContextVar("dormouse_deadline", default=None)


def bind_deadline(remaining: float) -> None:
    """Gives the present task a deadline, in seconds from now."""
    _deadline.set(time.monotonic() + remaining)


def remaining_s() -> float | None:
    """Seconds until the present call's deadline, at least 0; None outside of a call."""
    deadline = _deadline.get()
    return None if deadline is None else max(deadline - time.monotonic(), 0.0)


def cap(timeout: float) -> float:
    """The timeout for a call downstream: what is asked for, never more than the present call has left."""
    remaining = remaining_s()
    return timeout if remaining is None else min(timeout, remaining)
