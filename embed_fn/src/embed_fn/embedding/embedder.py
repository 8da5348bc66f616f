"""The embedder that the function uses."""

from collections.abc import Sequence

from embed_fn import errors
from embed_fn.embedding.port import Embedded, EmbeddingModel, Purpose
from embed_fn.ollama.client import OllamaClient
from embed_fn.settings import Settings


class ModelEmbedder:
    """See port.Embedder."""

    def __init__(self, ollama: OllamaClient, settings: Settings) -> None:
        self._ollama = ollama
        self._settings = settings

    async def aclose(self) -> None:
        """Ends what is under way."""

    async def model(self, name: str = "") -> EmbeddingModel:
        """See port.Embedder.model."""
        raise errors.not_available("Embed")

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
        raise errors.not_available("Embed")
