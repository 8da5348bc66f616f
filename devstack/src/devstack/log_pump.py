"""Copies what a process prints into its log file, line by line, and lets others wait for a line."""

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

MAX_LOG_BYTES = 16 * 1024 * 1024
TAIL_LINES = 400


class LogPump:
    """Owns the reading end of a process's output.

    A thread reads, so that a busy event loop never makes the process wait. The file grows to 16 MiB, then becomes
    `<name>.1` and a new one begins. The last 400 lines are kept in memory. `on_line` is called in that thread.
    """

    def __init__(self, path: Path, on_line: Callable[[str], None] | None = None) -> None:
        self.path = path
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._on_line = on_line
        self._waiters: list[tuple[Callable[[str], bool], asyncio.Future[str]]] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def open(self) -> int:
        """Begin a new pipe and return its writing end, which the caller closes once the process has it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        reading, writing = os.pipe()
        self._thread = threading.Thread(target=self._read, args=(reading,), name=f"log:{self.path.stem}", daemon=True)
        self._thread.start()
        return writing

    @contextlib.contextmanager
    def expect(self, matches: Callable[[str], bool]) -> Iterator[asyncio.Future[str]]:
        """Give a future of the next line that matches. It raises EOFError when the output ends first.

        Entered before the process starts, it misses no line.
        """
        waiter: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiters.append((matches, waiter))
        try:
            yield waiter
        finally:
            with self._lock:
                self._waiters = [entry for entry in self._waiters if entry[1] is not waiter]
            waiter.cancel()

    def join(self, timeout: float = 2.0) -> None:
        """Wait until all of the output is in the file, but no longer for a grandchild that still holds the pipe."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _read(self, reading: int) -> None:
        file = self.path.open("ab", buffering=0)
        try:
            with os.fdopen(reading, "rb") as stream:
                for raw in stream:
                    if file.tell() > MAX_LOG_BYTES:
                        file.close()
                        self.path.replace(self.path.with_name(self.path.name + ".1"))
                        file = self.path.open("ab", buffering=0)
                    file.write(raw)
                    self._publish(raw.decode("utf-8", "replace").rstrip("\n"))
        finally:
            file.close()
            with self._lock:
                waiters, self._waiters = self._waiters, []
            for _, waiter in waiters:
                _settle(waiter, None)

    def _publish(self, line: str) -> None:
        self.tail.append(line)
        with self._lock:
            found = [waiter for matches, waiter in self._waiters if matches(line)]
        for waiter in found:
            _settle(waiter, line)
        if self._on_line is not None:
            self._on_line(line)


def _settle(waiter: asyncio.Future[str], line: str | None) -> None:
    def settle() -> None:
        if waiter.done():
            return
        if line is None:
            waiter.set_exception(EOFError())
        else:
            waiter.set_result(line)

    loop = waiter.get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(settle)
