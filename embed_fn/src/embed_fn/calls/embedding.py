"""Embed."""

from collections.abc import Sequence
from typing import Final

from dormouse.embed.v1 import embed_pb2
from dormouse.embed.v1 import embed_service_pb2 as pb

from embed_fn import errors
from embed_fn.embedding.port import Embedded
from embed_fn.means import Means
from embed_fn.scopes import reader

MOST_INPUTS: Final = 2048
MOST_BYTES: Final = 8 * 1024 * 1024


class EmbeddingCalls:
    """Texts to vectors."""

    def __init__(self, means: Means) -> None:
        self._embedder = means.embedder

    async def embed(self, request: pb.EmbedRequest) -> pb.EmbedResponse:
        """One embedding for each input. Errors: INVALID_ARGUMENT, MODEL_NOT_FOUND, MODEL_UNAVAILABLE, MODEL_TIMEOUT."""
        caller = reader()
        _check(request.inputs)
        embedded = await self._embedder.embed(
            caller.tenant, request.inputs, model=request.model, dimensions=request.dimensions
        )
        return _response(embedded)


def _check(inputs: Sequence[str]) -> None:
    if not 1 <= len(inputs) <= MOST_INPUTS:
        raise errors.invalid_argument(f"A request embeds 1 to {MOST_INPUTS:,} inputs; this one has {len(inputs):,}.")
    if sum(map(len, inputs)) > MOST_BYTES or sum(len(text.encode()) for text in inputs) > MOST_BYTES:
        raise errors.invalid_argument(f"The inputs together are longer than {MOST_BYTES:,} bytes.")


def _response(embedded: Embedded) -> pb.EmbedResponse:
    return pb.EmbedResponse(
        model=embedded.model,
        embeddings=[
            embed_pb2.Embedding(values=item.vector, token_count=item.token_count, error=item.error)
            for item in embedded.items
        ],
    )
