"""One batch at the model: tried again where that helps, taken apart where one of its texts is to blame."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError

from embed_fn import errors
from embed_fn.embedding.meter import EmbeddingMeter
from embed_fn.embedding.port import Item
from embed_fn.embedding.queue import Waiting
from embed_fn.ollama.client import OllamaClient, Vectors

# Embedding changes nothing, so it can be repeated. A server that restarts is back within seconds; who keeps silent has
# had his time.
_AGAIN_AFTER_S: Final = (0.1, 0.4, 1.5)
_NO_NEW_ATTEMPT_AFTER_S: Final = 5.0
_TO_BLAME: Final = frozenset({
    error_pb2.ERROR_REASON_CONTEXT_LENGTH_EXCEEDED,
    error_pb2.ERROR_REASON_INVALID_ARGUMENT,
})  # fmt: skip


class ModelCalls:
    """The calls of one model."""

    def __init__(self, ollama: OllamaClient, model: str, meter: EmbeddingMeter) -> None:
        self._ollama = ollama
        self._model = model
        self._meter = meter

    async def run(self, batch: Sequence[Waiting]) -> list[Item]:
        """One item for each text, in order. Errors: what is wrong with none of the texts."""
        items: dict[Waiting, Item] = {}
        await self._embed(sorted(batch, key=lambda waiting: waiting.size), items)
        return [items[waiting] for waiting in batch]

    async def _embed(self, batch: Sequence[Waiting], items: dict[Waiting, Item]) -> None:
        """Fills in the items.

        Ollama fails a batch as a whole and does not say by which text. The batch is in order of length, so that of its
        halves the longer one has the texts that are too long: few requests find them.
        """
        try:
            vectors = await self._persistently([waiting.text for waiting in batch])
        except DormouseError as error:
            if error.reason not in _TO_BLAME and not isinstance(error, errors.ModelFailed):
                raise
            if len(batch) == 1:
                if error.reason not in _TO_BLAME:
                    raise
                items[batch[0]] = Item(error=error.message)
            elif error.reason in _TO_BLAME:
                middle = len(batch) // 2
                await self._embed(batch[:middle], items)
                await self._embed(batch[middle:], items)
            else:
                await self._search(batch, items, error)
            return
        items.update(zip(batch, _items(batch, vectors), strict=True))

    async def _search(self, batch: Sequence[Waiting], items: dict[Waiting, Item], error: DormouseError) -> None:
        """For a model that failed: a text may have done it, or the model cannot do anything now.

        As long as one half works the other is to blame, down to one text. Where neither works it is not the texts.
        """
        while len(batch) > 1:
            middle = len(batch) // 2
            halves = [batch[:middle], batch[middle:]]
            failed = [half for half in halves if not await self._works(half, items)]
            if len(failed) == len(halves):
                raise error
            if not failed:
                return
            batch = failed[0]
        items[batch[0]] = Item(error="The model fails on this text.")

    async def _works(self, batch: Sequence[Waiting], items: dict[Waiting, Item]) -> bool:
        try:
            vectors = await self._ask([waiting.text for waiting in batch])
        except errors.ModelFailed:
            return False
        items.update(zip(batch, _items(batch, vectors), strict=True))
        return True

    async def _persistently(self, texts: Sequence[str]) -> Vectors:
        began = time.monotonic()
        for after_s in _AGAIN_AFTER_S:
            try:
                return await self._ask(texts)
            except DormouseError as error:
                if error.reason != error_pb2.ERROR_REASON_MODEL_UNAVAILABLE:
                    raise
                if time.monotonic() - began + after_s > _NO_NEW_ATTEMPT_AFTER_S:
                    raise
            await asyncio.sleep(after_s)
        return await self._ask(texts)

    async def _ask(self, texts: Sequence[str]) -> Vectors:
        with self._meter.measure(self._model, len(texts)) as measurement:
            vectors = await self._ollama.embed(self._model, texts)
            measurement.done(vectors.token_count)
            return vectors


def _items(batch: Sequence[Waiting], vectors: Vectors) -> list[Item]:
    """Ollama counts the tokens of a whole request: each text gets its share of them by length, all of them together."""
    total = sum(waiting.size for waiting in batch)
    count = vectors.token_count or total
    items, before, given = [], 0, 0
    for waiting, vector in zip(batch, vectors.vectors, strict=True):
        before += waiting.size
        share = count * before // total - given
        given += share
        items.append(Item(vector, share))
    return items
