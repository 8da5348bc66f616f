"""The two models that the evaluation compares, as embed_fn sees any model, without a model server."""

import asyncio
from array import array
from collections.abc import Callable, Sequence

from devstack.model_server.embedding import embed as development_embedding
from embed_fn.embedding.port import Embedded, EmbeddingModel, Item, Purpose

from evals.retrieval.minilm import DIMENSIONS, MOST_PIECES, MiniLm

Vectors = Callable[[Sequence[str]], Sequence[Sequence[float]]]


class LocalEmbedder:
    """See embed_fn.embedding.port.Embedder; there is one model, and it takes every text."""

    def __init__(self, model: EmbeddingModel, vectors: Vectors) -> None:
        """vectors: of length 1, one for each text; called in a thread."""
        self._model = model
        self._vectors = vectors

    async def model(self, name: str = "") -> EmbeddingModel:
        """The one there is."""
        assert name in ("", self._model.name)
        return self._model

    async def embed(
        self,
        tenant: str,
        texts: Sequence[str],
        *,
        model: str = "",
        dimensions: int = 0,
        purpose: Purpose = Purpose.AS_IT_IS,
    ) -> Embedded:
        """Neither model was trained with prefixes, so the purpose is the same to them."""
        known = await self.model(model)
        vectors = await asyncio.to_thread(self._vectors, texts)
        return Embedded(known.name, known.dimensions, [Item(array("f", vector)) for vector in vectors])


def development() -> LocalEmbedder:
    """What the development model server answers for dormouse-dev-embed: words that two texts share, no meaning."""
    model = EmbeddingModel("dormouse-dev-embed", "evaluation", 384)
    return LocalEmbedder(model, lambda texts: [development_embedding(text) for text in texts])


def minilm(weights: MiniLm) -> LocalEmbedder:
    """all-MiniLM-L6-v2."""
    model = EmbeddingModel("all-minilm", "evaluation", DIMENSIONS, MOST_PIECES)
    return LocalEmbedder(model, lambda texts: weights.embed(texts).tolist())
