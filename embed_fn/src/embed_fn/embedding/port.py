"""What the rest of embed_fn asks of embeddings."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class Purpose(Enum):
    """What a vector is for. Models that were trained with prefixes get the one that fits (see embedding/prefixes.py).

    Questions wait behind no documents: they go to the model in batches of their own.
    """

    AS_IT_IS = "as it is"
    DOCUMENT = "document"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """name: as Ollama lists it, without ":latest". version: changes with the model's weights; part of no name.

    dimensions: the length of its vectors. context_length: in tokens, 0 where it is not known.
    """

    name: str
    version: str
    dimensions: int
    context_length: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """One text's vector, of length 1 and 32-bit floats, or why there is none: `vector` is empty where `error` is not.

    token_count: exact where the text went to the model alone, else its share of what its batch had.
    """

    vector: array[float] = field(default_factory=lambda: array("f"))
    token_count: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Embedded:
    """items: one for each text, in order. dimensions: the length of the vectors."""

    model: str
    dimensions: int
    items: Sequence[Item]


class Embedder(Protocol):
    """Turns texts into vectors."""

    async def model(self, name: str = "") -> EmbeddingModel:
        """The model that this name, or none, stands for. Errors: MODEL_NOT_FOUND, MODEL_CAPABILITY_MISSING,
        MODEL_UNAVAILABLE, MODEL_TIMEOUT."""
        ...

    async def embed(
        self,
        tenant: str,
        texts: Sequence[str],
        *,
        model: str = "",
        dimensions: int = 0,
        purpose: Purpose = Purpose.AS_IT_IS,
    ) -> Embedded:
        """Any number of texts; they share batches with those of other calls. A text that the model cannot take has its
        own error. model: empty for the platform's. dimensions: shortens the vectors, 0: the model's own.

        Errors: as `model`, and INVALID_ARGUMENT for dimensions that the model has not, OVERLOADED."""
        ...
