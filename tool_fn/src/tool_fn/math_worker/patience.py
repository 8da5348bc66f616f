"""Bounds on steps that are nice to have: they are given up without giving up the call."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class OutOfPatience(BaseException):
    """The step took too long. No Exception, so that nothing in SymPy takes it for one of its own."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises OutOfPatience in the block after so much CPU time. Not for nesting.

    Signals arrive on the main thread, where workers run; on another one the block is only bounded by its call.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise OutOfPatience

    previous = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)
