"""The vectors of passages: by which model, of which text, and what is done with one that the model cannot take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError

from embed_fn import errors
from embed_fn.embedding.port import Embedder, Item, Purpose
from embed_fn.parsing.errors import UnreadableError
from embed_fn.store.models import ModelStore
from embed_fn.store.records import Model, NewEmbedding, Unembedded

# A passage is longer than the model takes where that is a small model, or the text of a kind that makes many tokens.
_CUTS: Final = (1.0, 0.5, 0.25, 0.12)
_GONE: Final = frozenset({
    error_pb2.ERROR_REASON_MODEL_NOT_FOUND,
    error_pb2.ERROR_REASON_MODEL_CAPABILITY_MISSING,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choice:
    """model: for new passages. is_active: whether the tenant's searches use it; else it is reindexed first."""

    model: Model
    is_active: bool


class PassageVectors:
    """Raises what Embedder and ModelStore raise."""

    def __init__(self, embedder: Embedder, models: ModelStore) -> None:
        self._embedder = embedder
        self._models = models

    async def present_model(self) -> Model:
        """The platform's model."""
        present = await self._embedder.model()
        return await self._models.ensure(present.name, present.version, present.dimensions)

    async def choose(self, tenant: str) -> Choice:
        """The tenant's model as long as the model server has it as it was; else the platform's."""
        present = await self.present_model()
        active = await self._models.active(tenant, present)
        if active is None or active == present:
            return Choice(present, is_active=True)
        return Choice(active, is_active=True) if await self._is_served(active) else Choice(present, is_active=False)

    async def embed(self, tenant: str, model: Model, passages: Sequence[Unembedded]) -> list[NewEmbedding]:
        """One for each passage. Of one that is too long its beginning counts. Errors: UnreadableError where not even
        that can be embedded; MODEL_UNAVAILABLE where the model server has another model under this name now."""
        vectors: dict[int, Item] = {}
        rest = list(passages)
        for share in _CUTS:
            texts = [text_to_embed(passage, share) for passage in rest]
            embedded = await self._embedder.embed(tenant, texts, model=model.name, purpose=Purpose.DOCUMENT)
            vectors |= {passage.key: item for passage, item in zip(rest, embedded.items, strict=True)}
            rest = [passage for passage in rest if vectors[passage.key].error]
            if not rest:
                break
        if rest:
            reason = vectors[rest[0].key].error
            raise UnreadableError(f"Passage {rest[0].number + 1} of the file cannot be embedded: {reason}")
        if any(len(item.vector) != model.dimensions for item in vectors.values()):
            raise errors.model_unavailable("The embedding model is changing.")
        return [NewEmbedding(passage.key, vectors[passage.key].vector) for passage in passages]

    async def _is_served(self, model: Model) -> bool:
        try:
            served = await self._embedder.model(model.name)
        except DormouseError as error:
            if error.reason in _GONE:
                return False
            raise
        return (served.version, served.dimensions) == (model.version, model.dimensions)


def text_to_embed(passage: Unembedded, share: float = 1.0) -> str:
    """A passage under its headings, or the first part of it without them."""
    if share < 1:
        return passage.text[: max(int(len(passage.text) * share), 1)]
    return "\n".join((*passage.headings, passage.text))
