"""Copies what a process prints into its log file, line by line, and lets others wait for a line."""

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from io import FileIO
from pathlib import Path

MAX_LOG_BYTES = 16 * 1024 * 1024
TAIL_LINES = 400


class LogPump:
    """The log of one process over all of its lives.

    The file grows to 16 MiB, then becomes `<name>.1` and a new one begins. The last 400 lines are kept in memory in
    `tail`. `on_line` is called in a thread of ours.
    """

    def __init__(self, path: Path, on_line: Callable[[str], None] | None = None) -> None:
        self.path = path
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._on_line = on_line
        self._life: Life | None = None

    def begin(self) -> "Life":
        """Make the pipe for one life of the process."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._life = Life(self.path, self._publish)
        return self._life

    def expect(self, matches: Callable[[str], bool]) -> AbstractContextManager[asyncio.Future[str]]:
        """Wait for a line of the life that has begun last: see Life.expect."""
        if self._life is None:
            raise RuntimeError(f"{self.path.stem} was never started")
        return self._life.expect(matches)

    def join(self, timeout: float = 2.0) -> None:
        """Wait until all of the output is in the file, but no longer for a grandchild that still holds the pipe."""
        if self._life is not None:
            self._life.thread.join(timeout)

    def _publish(self, line: str) -> None:
        self.tail.append(line)
        if self._on_line is not None:
            self._on_line(line)


class Life:
    """The output of one life: `writing` is the end of the pipe for the process, to be closed here once it has it.

    A thread reads, so that a busy event loop never makes the process wait.
    """

    def __init__(self, path: Path, publish: Callable[[str], None]) -> None:
        self._path = path
        self._publish = publish
        self._waiters: list[tuple[Callable[[str], bool], asyncio.Future[str]]] = []
        self._ended = False
        self._lock = threading.Lock()
        file = path.open("ab", buffering=0)
        reading, self.writing = os.pipe()
        self.thread = threading.Thread(target=self._read, args=(reading, file), name=f"log:{path.stem}", daemon=True)
        self.thread.start()

    @contextlib.contextmanager
    def expect(self, matches: Callable[[str], bool]) -> Iterator[asyncio.Future[str]]:
        """Give a future of the next line that matches. It raises EOFError when the output ends first."""
        waiter: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._ended:
                waiter.set_exception(EOFError())
            else:
                self._waiters.append((matches, waiter))
        try:
            yield waiter
        finally:
            with self._lock:
                self._waiters = [entry for entry in self._waiters if entry[1] is not waiter]
            waiter.cancel()

    def _read(self, reading: int, file: FileIO) -> None:
        try:
            with os.fdopen(reading, "rb") as stream:
                for raw in stream:
                    if file.tell() > MAX_LOG_BYTES:
                        file.close()
                        self._path.replace(self._path.with_name(self._path.name + ".1"))
                        file = self._path.open("ab", buffering=0)
                    file.write(raw)
                    self._tell(raw.decode("utf-8", "replace").rstrip("\n"))
        finally:
            file.close()
            with self._lock:
                self._ended = True
                waiters = [waiter for _, waiter in self._waiters]
            for waiter in waiters:
                _settle(waiter, None)

    def _tell(self, line: str) -> None:
        self._publish(line)
        with self._lock:
            found = [waiter for matches, waiter in self._waiters if matches(line)]
        for waiter in found:
            _settle(waiter, line)


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
