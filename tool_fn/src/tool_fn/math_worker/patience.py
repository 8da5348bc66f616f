"""Bounds on steps that are nice to have: they are given up without giving up the call."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class OutOfPatience(BaseException):
    """The step took too long. No Exception, so that nothing in SymPy takes it for one of its own."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises OutOfPatience in the block after so long, between two steps of Python; on any thread. Not for nesting."""
    watch = _Watch(threading.get_ident())
    threading.Thread(target=watch.run, args=(seconds,), daemon=True).start()
    try:
        yield
    finally:
        watch.end()


class _Watch:
    def __init__(self, thread: int) -> None:
        self._thread = thread
        self._lock = threading.Lock()
        self._over = threading.Event()

    def run(self, seconds: float) -> None:
        if not self._over.wait(seconds):
            with self._lock:
                if not self._over.is_set():
                    self._raise(OutOfPatience)

    def end(self) -> None:
        """From here on nothing is raised any more, also what is already on its way."""
        with self._lock:
            self._over.set()
            self._raise(None)

    def _raise(self, kind: type[BaseException] | None) -> None:
        raised = ctypes.py_object(kind) if kind is not None else None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), raised)
