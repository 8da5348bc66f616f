"""The workers of this process: warm ones are used again, busy ones waited for, worn and hung ones replaced."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from dormouse_runtime.workers.errors import WorkerError, WorkerUnavailableError
from dormouse_runtime.workers.kind import WorkerKind
from dormouse_runtime.workers.protocol import REQUEST_BYTES
from dormouse_runtime.workers.worker import Worker

_logger = logging.getLogger(__name__)
# A call that could have had a busy worker after this long had better not start a process for seconds of CPU.
_GROW_AFTER_S: Final = 0.05

Ask = Callable[[bytes, float], Awaitable[bytes]]


class Workers:
    """All workers, by kind. Whoever makes it closes it; no process outlives it, nor this process."""

    def __init__(self) -> None:
        self._pools: dict[str, _Pool] = {}
        self._told: set[str] = set()
        self._closed = False

    def declare(self, kind: WorkerKind) -> None:
        """Make a kind known. Starts nothing. The same kind may be declared again, not another of its name."""
        known = self._pools.get(kind.name)
        if known is not None and known.kind != kind:
            raise ValueError(f"there is another kind of worker named {kind.name!r}")
        if known is None:
            self._pools[kind.name] = _Pool(kind, self._told)

    async def call(self, name: str, request: bytes, time_limit_s: float) -> bytes:
        """One answer of a worker of this kind.

        The limit is for the answering. Waiting for a worker that is free, or for the first one's imports, comes on
        top and is bounded by the caller. Errors: those in workers.errors; the worker is replaced where that is
        needed. A call that is cancelled takes its worker with it.
        """
        async with self.conversation(name) as ask:
            return await ask(request, time_limit_s)

    @asynccontextmanager
    async def conversation(self, name: str) -> AsyncIterator[Ask]:
        """One worker for several calls, each as `call`, with nobody else's between them: its module may remember.

        A conversation that is left with another exception than a call's own takes its worker with it.
        """
        if self._closed:
            raise WorkerUnavailableError("The function is shutting down.")
        pool = self._pools[name]
        worker = await pool.take()

        async def ask(request: bytes, time_limit_s: float) -> bytes:
            if len(request) > REQUEST_BYTES:
                raise ValueError("the request is longer than a worker takes")
            return await worker.ask(request, time_limit_s)

        try:
            yield ask
        except WorkerError:
            raise
        except BaseException:
            worker.usable = False
            raise
        finally:
            pool.give_back(worker)

    def warm(self, name: str) -> None:
        """Start the kind's first worker, when there is none, without waiting for it."""
        if not self._closed:
            self._pools[name].warm()

    def pids(self, name: str) -> list[int]:
        """The processes of a kind that are ready or at work."""
        return self._pools[name].pids()

    async def close(self) -> None:
        """End every worker. Calls that still run fail."""
        self._closed = True
        await asyncio.gather(*(pool.close() for pool in self._pools.values()))


class _Pool:
    def __init__(self, kind: WorkerKind, told: set[str]) -> None:
        self.kind = kind
        self._told = told
        self._workers: set[Worker] = set()
        self._idle: list[Worker] = []  # the one used last is taken first, so that the others grow old
        self._expiry: dict[Worker, asyncio.TimerHandle] = {}
        self._waiting: deque[asyncio.Future[Worker]] = deque()
        self._starting: set[asyncio.Task[None]] = set()
        self._reaping: set[asyncio.Task[int]] = set()
        self._closed = False

    async def take(self) -> Worker:
        while self._idle:
            worker = self._idle.pop()
            self._expiry.pop(worker).cancel()
            if worker.alive:
                return worker
            self._drop(worker)
        loop = asyncio.get_running_loop()
        place: asyncio.Future[Worker] = loop.create_future()
        self._waiting.append(place)
        self.warm()
        patience = loop.call_later(_GROW_AFTER_S, self._grow)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.give_back(place.result())
            raise
        finally:
            patience.cancel()
            if place in self._waiting:
                self._waiting.remove(place)

    def give_back(self, worker: Worker) -> None:
        if self._closed or not worker.usable or not worker.alive:
            self._drop(worker)
            # The next call should not have to wait for the imports because this one went wrong.
            self.warm()
            self._grow()
            return
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(worker)
                return
        self._idle.append(worker)
        loop = asyncio.get_running_loop()
        self._expiry[worker] = loop.call_later(self.kind.idle_s, self._expire, worker)

    def warm(self) -> None:
        if not self._workers and not self._starting and not self._closed:
            self._start()

    def pids(self) -> list[int]:
        return [worker.pid for worker in self._workers if worker.alive]

    async def close(self) -> None:
        self._closed = True
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        for worker in list(self._workers):
            self._drop(worker)
        self._refuse(WorkerUnavailableError("The function is shutting down."))
        await asyncio.gather(*self._reaping)

    def _grow(self) -> None:
        if self._waiting and not self._starting and len(self._workers) < self.kind.processes and not self._closed:
            self._start()

    def _start(self) -> None:
        task = asyncio.create_task(self._start_one(), name=f"start a worker: {self.kind.name}")
        self._starting.add(task)
        task.add_done_callback(self._started)

    async def _start_one(self) -> None:
        try:
            worker = await Worker.start(self.kind)
        except WorkerUnavailableError as error:
            if not self._workers:
                self._refuse(error)
            return
        for protection in worker.missing:
            if protection not in self._told:
                self._told.add(protection)
                _logger.warning("workers run without a protection that this system lacks", extra={"lacks": protection})
        self._workers.add(worker)
        self.give_back(worker)

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting.discard(task)
        self._grow()

    def _refuse(self, error: WorkerUnavailableError) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_exception(WorkerUnavailableError(str(error)))

    def _expire(self, worker: Worker) -> None:
        self._idle.remove(worker)
        self._drop(worker)

    def _drop(self, worker: Worker) -> None:
        """End it and see to it that nothing remains of it."""
        self._workers.discard(worker)
        timer = self._expiry.pop(worker, None)
        if timer is not None:
            timer.cancel()
        worker.kill()
        task = asyncio.create_task(worker.wait(), name=f"end a worker: {self.kind.name}")
        self._reaping.add(task)
        task.add_done_callback(self._reaping.discard)
