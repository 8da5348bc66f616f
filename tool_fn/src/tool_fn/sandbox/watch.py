"""Calls something when a program's time is over."""

import threading
import time
from collections.abc import Callable


class Watch:
    """A thread that calls `ring` once the time for which it is set has come.

    It wakes for that, and hardly ever otherwise: to set and unset it costs a program next to nothing.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._changed = threading.Condition()
        self._until: float | None = None
        self._wakes_at: float | None = None
        self._thread: threading.Thread | None = None

    def set(self, until: float) -> None:
        """By time.monotonic(). The thread starts with the first call, so that it is confined as its caller is."""
        with self._changed:
            self._until = until
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
                self._thread.start()
            elif self._wakes_at is None or self._wakes_at > until:
                self._changed.notify()  # one that wakes too early looks again by itself

    def unset(self) -> None:
        """From now on it does not ring."""
        with self._changed:
            self._until = None

    def _watch(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                if self._until is not None and now >= self._until:
                    self._until = None
                    self._ring()
                self._wakes_at = self._until
                self._changed.wait(None if self._until is None else self._until - now)
