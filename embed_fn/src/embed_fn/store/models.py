"""Which model a tenant's searches use, and how it changes.

model = await models.ensure(name, version, dimensions)
active = await models.active(tenant, model)          # where they differ, the tenant is to be reindexed:
while lacking := await models.unembedded(tenant, model, 256):
    await documents.add_embeddings(tenant, model, …)
switched = await models.switch(tenant, model)        # all at once; False: documents came meanwhile, go on
"""

from collections.abc import Sequence

from embed_fn.postgres import Postgres
from embed_fn.store.records import Model, ReindexProgress, Unembedded


class ModelStore:
    """Raises DATABASE_UNAVAILABLE within seconds."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def ensure(self, name: str, version: str, dimensions: int) -> Model:
        """The model, with an index for its vectors. Errors: INVALID_ARGUMENT for more than 4,000 dimensions."""
        raise NotImplementedError

    async def active(self, tenant: str, default: Model | None = None) -> Model | None:
        """The tenant's model. Where it has none yet, it gets the default one; None: there is neither."""
        raise NotImplementedError

    async def progress(self, tenant: str, model: Model) -> ReindexProgress:
        """How far a change to the model is."""
        raise NotImplementedError

    async def unembedded(self, tenant: str, model: Model, limit: int, *, after: int = 0) -> Sequence[Unembedded]:
        """Passages of ready documents without this model's embedding, by key, from behind `after`."""
        raise NotImplementedError

    async def switch(self, tenant: str, model: Model) -> bool:
        """Lets searches use the model if it has embedded every passage of the ready documents; else False.

        Embeddings of other models are dropped afterwards, in batches, by `drop_others`.
        """
        raise NotImplementedError

    async def drop_others(self, tenant: str) -> None:
        """Drops the embeddings of models that are not the tenant's."""
        raise NotImplementedError
