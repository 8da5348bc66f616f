"""The embedder that the function uses: the cache, and behind it the batches of each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from embed_fn import errors
from embed_fn.embedding import meter as sources
from embed_fn.embedding.batches import Batches, BatchLimits
from embed_fn.embedding.cache import Cache, Key, model_key, text_hash
from embed_fn.embedding.meter import EmbeddingMeter
from embed_fn.embedding.model_calls import ModelCalls
from embed_fn.embedding.models import Models
from embed_fn.embedding.port import Embedded, EmbeddingModel, Item, Purpose
from embed_fn.embedding.prefixes import prefix
from embed_fn.embedding.vectors import shortened
from embed_fn.ollama.client import OllamaClient
from embed_fn.uses import count

_EMPTY: Final = Item(error="The input is empty.")


class ModelEmbedder:
    """See port.Embedder."""

    def __init__(
        self, ollama: OllamaClient, models: Models, cache: Cache, limits: BatchLimits, meter: EmbeddingMeter
    ) -> None:
        self._ollama = ollama
        self._models = models
        self._cache = cache
        self._limits = limits
        self._meter = meter
        self._batches: dict[tuple[str, bool], Batches] = {}
        self._lengths: dict[tuple[str, str], int] = {}
        """Of the vectors that models have made, which may differ from what was said of them."""

    async def aclose(self) -> None:
        """Ends what is under way."""
        for batches in self._batches.values():
            await batches.aclose()

    async def model(self, name: str = "") -> EmbeddingModel:
        """See port.Embedder.model."""
        model = await self._models.find(name)
        length = self._lengths.get((model.name, model.version), model.dimensions)
        return model if length == model.dimensions else replace(model, dimensions=length)

    async def embed(
        self,
        tenant: str,
        texts: Sequence[str],
        *,
        model: str = "",
        dimensions: int = 0,
        purpose: Purpose = Purpose.AS_IT_IS,
    ) -> Embedded:
        """See port.Embedder.embed."""
        chosen = await self.model(model)
        if not 0 <= dimensions <= chosen.dimensions:
            raise errors.invalid_argument(
                f"The model {chosen.name!r} has vectors of at most {chosen.dimensions} values."
            )
        before = prefix(chosen.name, purpose)
        # Equal texts are embedded once.
        keys: dict[str, Key] = {}
        versioned = model_key(chosen)
        for text in texts:
            if text and text not in keys:
                keys[text] = Key(tenant, versioned, text_hash(before + text))
        items = self._cache.recall(keys.values())
        self._meter.count(chosen.name, sources.MEMORY, len(items))
        missing = {key: before + text for text, key in keys.items() if key not in items}
        if missing:
            stored = await self._cache.find([*missing], in_memory=_stays_in_memory(purpose))
            self._meter.count(chosen.name, sources.STORE, len(stored))
            items |= stored
            new = {key: text for key, text in missing.items() if key not in stored}
            items |= await self._made(tenant, chosen, new, purpose)
        count(chosen.name, sum(item.token_count for item in items.values()))
        lengths = {len(item.vector) for item in items.values() if not item.error}
        return Embedded(
            model=chosen.name,
            dimensions=dimensions or max(lengths, default=chosen.dimensions),
            items=[_cut(items[keys[text]], dimensions) if text else _EMPTY for text in texts],
        )

    async def _made(
        self, tenant: str, model: EmbeddingModel, texts: dict[Key, str], purpose: Purpose
    ) -> dict[Key, Item]:
        if not texts:
            return {}
        made = await self._batches_of(model.name, purpose).embed(tenant, [*texts.values()])
        items = dict(zip(texts, made, strict=True))
        self._meter.count(model.name, sources.MODEL, len(items))
        good = [(key, item) for key, item in items.items() if not item.error]
        if good:
            length = len(good[0][1].vector)
            self._lengths[model.name, model.version] = length
            if length == model.dimensions:
                # Else they are under the wrong key.
                self._cache.keep(good, in_memory=_stays_in_memory(purpose))
        return items

    def _batches_of(self, model: str, purpose: Purpose) -> Batches:
        """Of a model, and of questions and the rest apart: who asks does not wait for a batch of documents."""
        kind = (model, purpose is Purpose.QUERY)
        batches = self._batches.get(kind)
        if batches is None:
            calls = ModelCalls(self._ollama, model, self._meter)
            batches = self._batches[kind] = Batches(calls.run, self._limits)
        return batches


def _stays_in_memory(purpose: Purpose) -> bool:
    """Passages are embedded once: by the thousand they would push out what people ask for again."""
    return purpose is not Purpose.DOCUMENT


def _cut(item: Item, dimensions: int) -> Item:
    return (
        item
        if item.error or dimensions in (0, len(item.vector))
        else replace(item, vector=shortened(item.vector, dimensions))
    )
