"""Dynamic batching: what arrives while one batch is at the model forms the next. No timer holds anything back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, Final

from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError

from embed_fn import errors
from embed_fn.embedding.port import Item
from embed_fn.embedding.queue import FairQueue, Waiting, estimated_tokens

# About 64 MB of text. More comes only from callers who do not wait for answers.
_MOST_WAITING_TOKENS: Final = 16 * 1024 * 1024

Run = Callable[[Sequence[Waiting]], Coroutine[Any, Any, Sequence[Item]]]
"""Embeds a batch: one item for each text, or an error for all."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The most that one request to the model server holds; tokens are estimated."""

    inputs: int
    tokens: int


class Batches:
    """The batches of one model, one at a time."""

    def __init__(self, run: Run, limits: BatchLimits) -> None:
        self._run = run
        self._limits = limits
        self._queue = FairQueue()
        self._worker: asyncio.Task[None] | None = None

    async def embed(self, tenant: str, texts: Sequence[str]) -> list[Item]:
        """One item for each text, in order. Being cancelled withdraws those that still wait, and a batch with no others
        in it. Errors: OVERLOADED, and what the batches end with."""
        if self._queue.size > _MOST_WAITING_TOKENS:
            raise errors.overloaded("Too many texts are waiting to be embedded; try again shortly.")
        loop = asyncio.get_running_loop()
        context = copy_context()
        promises: list[asyncio.Future[Item]] = []
        for text in texts:
            promises.append(loop.create_future())
            self._queue.put(tenant, Waiting(text, estimated_tokens(text), promises[-1], context))
        if self._worker is None or self._worker.done():
            # In an empty context: it works for all who wait, so no one's deadline may be its own.
            self._worker = loop.create_task(self._work(), context=Context())
        try:
            return [await promise for promise in promises]
        finally:
            # The first failure, or the caller's going away, withdraws the rest.
            for promise in promises:
                if not promise.cancel() and not promise.cancelled():
                    promise.exception()  # told once is enough

    async def aclose(self) -> None:
        """Ends the batch under way; who waits is told so."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        try:
            while batch := self._queue.take(self._limits.inputs, self._limits.tokens):
                await self._carry_out(batch)
        finally:
            while batch := self._queue.take(self._limits.inputs, self._limits.tokens):
                _fail(batch, _closed())

    async def _carry_out(self, batch: Sequence[Waiting]) -> None:
        # A batch is in the trace of the call whose text comes first in it: it can be in one only.
        run = asyncio.create_task(self._run(batch), context=batch[0].context)
        wanted = len(batch)

        def left(promise: asyncio.Future[Item]) -> None:
            nonlocal wanted
            wanted -= 1
            if not wanted:
                run.cancel()  # nobody wants it any more; where it is done nothing happens

        for waiting in batch:
            waiting.promise.add_done_callback(left)
        try:
            await asyncio.wait([run])
        except asyncio.CancelledError:
            run.cancel()
            await asyncio.wait([run])
            _fail(batch, _closed())
            raise
        if run.cancelled():
            _fail(batch, _closed())
        elif (error := run.exception()) is not None:
            _fail(batch, error)
        else:
            for waiting, item in zip(batch, run.result(), strict=True):
                if not waiting.promise.done():
                    waiting.promise.set_result(item)


def _fail(batch: Sequence[Waiting], error: BaseException) -> None:
    for waiting in batch:
        if not waiting.promise.done():
            waiting.promise.set_exception(error)


def _closed() -> DormouseError:
    return DormouseError(error_pb2.ERROR_REASON_SHUTTING_DOWN, "This instance is shutting down.")
