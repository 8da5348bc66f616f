"""The simulated GPU: slots, the queue in front of them, and models that are loaded or not."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from devstack.model_server.errors import ServerBusyError
from devstack.model_server.settings import Simulation

FOREVER = float("inf")


@dataclass(slots=True)
class Loaded:
    """A model in memory: its context length and when it will be unloaded (unix seconds)."""

    num_ctx: int
    expires_at: float


@dataclass(slots=True)
class _Runner:
    """The work of one model."""

    busy: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)


class Gpu:
    """Admits requests to slots in the order of their arrival."""

    def __init__(self, simulation: Callable[[], Simulation]) -> None:
        self._simulation = simulation
        self._runners: dict[str, _Runner] = {}
        self._loaded: dict[str, Loaded] = {}

    @property
    def loaded(self) -> dict[str, Loaded]:
        """The models in memory now."""
        now = time.time()
        self._loaded = {name: model for name, model in self._loaded.items() if model.expires_at > now}
        return self._loaded

    @contextlib.asynccontextmanager
    async def slot(self, model: str) -> AsyncIterator[None]:
        """Hold a slot of `model`. Raises ServerBusyError when the queue is full.

        A slot whose holder was cancelled stays busy for `linger_ms`, like a runner that goes on prefilling.
        """
        runner = self._runners.setdefault(model, _Runner())
        slots = self._simulation().slots
        if slots and runner.busy >= slots:
            if sum(len(other.waiting) for other in self._runners.values()) >= self._simulation().queue:
                raise ServerBusyError
            await self._queue(runner)
        else:
            runner.busy += 1
        lingers = True
        try:
            yield
            lingers = False
        finally:
            linger_s = self._simulation().linger_ms / 1000 if lingers else 0
            if linger_s:
                asyncio.get_running_loop().call_later(linger_s, self._release, runner)
            else:
                self._release(runner)

    async def _queue(self, runner: _Runner) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        runner.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release(runner)  # the slot came in the same moment as the cancellation
            elif turn in runner.waiting:  # else whoever released a slot has already passed it over
                runner.waiting.remove(turn)
            raise

    def _release(self, runner: _Runner) -> None:
        runner.busy -= 1
        self._admit(runner)

    def _admit(self, runner: _Runner) -> None:
        slots = self._simulation().slots
        while runner.waiting and (not slots or runner.busy < slots):
            turn = runner.waiting.popleft()
            if not turn.done():
                runner.busy += 1
                turn.set_result(None)

    def reconsider(self) -> None:
        """Admit whoever fits now, after the number of slots has changed."""
        for runner in self._runners.values():
            self._admit(runner)

    async def load(self, model: str, num_ctx: int) -> float:
        """Have `model` in memory with this context length; returns the seconds that took.

        Whoever loads and leaves aborts the load for those who wait for it too, as Ollama does; the next one loads.
        """
        began = time.monotonic()
        present = self.loaded.get(model)
        if present is None or present.num_ctx != num_ctx:
            async with self._runners.setdefault(model, _Runner()).loading:
                present = self.loaded.get(model)
                if present is None or present.num_ctx != num_ctx:
                    if self._simulation().load_ms:
                        await asyncio.sleep(self._simulation().load_ms / 1000)
                    self._loaded[model] = Loaded(num_ctx, FOREVER)
        return time.monotonic() - began

    def keep(self, model: str, keep_alive_s: float) -> None:
        """Keep `model` in memory for so many seconds from now; 0 unloads it."""
        if model in self._loaded:
            self._loaded[model].expires_at = time.time() + keep_alive_s

    def unload(self, model: str) -> None:
        """Drop `model` from memory."""
        self._loaded.pop(model, None)
