"""A tenant's change to the platform's present embedding model: beside the old one, and all at once in the end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from embed_fn import errors
from embed_fn.ingestion.passage_vectors import PassageVectors
from embed_fn.ingestion.shared_work import SharedWork
from embed_fn.parsing.errors import UnreadableError
from embed_fn.store.documents import DocumentStore
from embed_fn.store.models import ModelStore
from embed_fn.store.records import Model

_BATCH: Final = 256
_ROUNDS: Final = 100


@dataclass(frozen=True, slots=True)
class Reindexed:
    """Passages of ready documents, and how many of them the model has embedded."""

    model: str
    done: int
    total: int


class Reindexing:
    """Raises what Embedder and the stores raise; what is embedded stays, for another attempt."""

    def __init__(self, documents: DocumentStore, models: ModelStore, vectors: PassageVectors) -> None:
        self._documents = documents
        self._models = models
        self._vectors = vectors
        self._works: dict[str, SharedWork[Reindexed]] = {}

    async def follow(self, tenant: str) -> AsyncGenerator[Reindexed, None]:
        """Does it, and tells how far it is. Two at once share the work."""
        work = self._works.get(tenant)
        if work is None:
            work = self._works[tenant] = SharedWork(
                lambda work: self._work(tenant, work), lambda work: self._forget(tenant, work)
            )
        async with aclosing(work.follow()) as events:
            async for told in events:
                yield told

    async def run(self, tenant: str) -> None:
        """Does it."""
        async with aclosing(self.follow(tenant)) as events:
            async for _ in events:
                pass

    async def aclose(self) -> None:
        """Ends all; who follows is told so."""
        await asyncio.gather(*(work.stop() for work in list(self._works.values())))

    async def _work(self, tenant: str, work: SharedWork[Reindexed]) -> None:
        model = await self._vectors.present_model()
        if await self._models.active(tenant, model) is None:
            work.tell("progress", Reindexed(model.name, 0, 0))  # a tenant without documents
            return
        for _ in range(_ROUNDS):
            await self._embed(tenant, model, work)
            if await self._models.switch(tenant, model):
                await self._tell(tenant, model, work)
                await self._models.drop_others(tenant)
                return
        raise errors.conflict("Documents keep coming; try again.")

    async def _embed(self, tenant: str, model: Model, work: SharedWork[Reindexed]) -> None:
        last = 0
        await self._tell(tenant, model, work)
        while lacking := await self._models.unembedded(tenant, model, _BATCH, after=last):
            last = lacking[-1].key
            try:
                embeddings = await self._vectors.embed(tenant, model, lacking)
            except UnreadableError as error:
                raise errors.model_unavailable("The model cannot embed a passage that another one could.") from error
            await self._documents.add_embeddings(tenant, model, embeddings)
            await self._tell(tenant, model, work)

    async def _tell(self, tenant: str, model: Model, work: SharedWork[Reindexed]) -> None:
        progress = await self._models.progress(tenant, model)
        work.tell("progress", Reindexed(model.name, progress.done, progress.total))

    def _forget(self, tenant: str, work: SharedWork[Reindexed]) -> None:
        if self._works.get(tenant) is work:
            del self._works[tenant]
