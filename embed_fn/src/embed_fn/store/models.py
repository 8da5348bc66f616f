"""Which model a tenant's searches use, and how it changes.

model = await models.ensure(name, version, dimensions)
active = await models.active(tenant, model)          # where they differ, the tenant is to be reindexed:
while lacking := await models.unembedded(tenant, model, 256, after=last_key):
    await documents.add_embeddings(tenant, model, …)
switched = await models.switch(tenant, model)        # all at once; False: documents came meanwhile, begin again
await models.drop_others(tenant)
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from embed_fn import errors
from embed_fn.postgres import Postgres
from embed_fn.store.lacking import OF_TENANT, lacking
from embed_fn.store.records import Model, ReindexProgress, Unembedded
from embed_fn.store.rows import model_from, storable
from embed_fn.store.transactions import WRITE_S, Transactions

if TYPE_CHECKING:
    from dormouse_runtime.postgres import Connection

MOST_DIMENSIONS: Final = 4000
_DROPPED: Final = 2000

_ENSURE: Final = "select ensure_embedding_model(%s, %s, %s) as id"
_MODEL: Final = """
    select m.id, m.name, m.version, m.dimensions from libraries l join embedding_models m on m.id = l.model
    where l.tenant_id = %(tenant)s
"""
# Where nothing can be searched yet, there is nothing to be reindexed.
_DEFAULT: Final = """
    insert into libraries as l (tenant_id, model) values (%(tenant)s, %(model)s)
    on conflict (tenant_id) do update set model = excluded.model where l.model is null or l.chunks = 0
"""
_NOT_READY: Final = "(select number from documents where tenant_id = %(tenant)s and state <> 'ready')"
_PROGRESS: Final = f"""
    select coalesce((select chunks from libraries where tenant_id = %(tenant)s), 0) as total, (
        select count(*) from embeddings
        where tenant_id = %(tenant)s and model = %(model)s and document not in {_NOT_READY}
    ) as done
"""  # noqa: S608
_LOCK: Final = "select model from libraries where tenant_id = %(tenant)s for update"
_SWITCH: Final = "update libraries set model = %(model)s where tenant_id = %(tenant)s"
_DROP_OTHERS: Final = """
    delete from embeddings where tenant_id = %(tenant)s and (chunk, model) in (
        select chunk, model from embeddings
        where tenant_id = %(tenant)s and model <> (select model from libraries where tenant_id = %(tenant)s)
        limit %(batch)s
    )
"""


class ModelStore:
    """Raises DATABASE_UNAVAILABLE within seconds."""

    def __init__(self, postgres: Postgres) -> None:
        self._transactions = Transactions(postgres)
        self._known: dict[tuple[str, str, int], Model] = {}

    async def ensure(self, name: str, version: str, dimensions: int) -> Model:
        """The model, with an index for its vectors. Errors: INVALID_ARGUMENT for more than 4,000 dimensions."""
        if not 1 <= dimensions <= MOST_DIMENSIONS:
            raise errors.invalid_argument(f"Vectors that can be searched have 1 to {MOST_DIMENSIONS:,} dimensions.")
        wanted = (storable(name), storable(version), dimensions)
        if wanted not in self._known:

            async def work(connection: "Connection") -> int:
                row = await (await connection.execute(_ENSURE, wanted)).fetchone()
                number: int = (row or {})["id"]
                return number

            self._known[wanted] = Model(await self._transactions.run_for_all(work), *wanted)
        return self._known[wanted]

    async def active(self, tenant: str, default: Model | None = None) -> Model | None:
        """The tenant's model. Where nothing can be searched yet, that is the default one; None: there is neither."""
        values = {"tenant": tenant, "model": default.id if default else None}

        async def work(connection: "Connection") -> Model | None:
            if default is not None:
                await connection.execute(_DEFAULT, values)
            row = await (await connection.execute(_MODEL, values)).fetchone()
            return None if row is None else model_from(row)

        return await self._transactions.run(tenant, work)

    async def progress(self, tenant: str, model: Model) -> ReindexProgress:
        """How far a change to the model is."""

        async def work(connection: "Connection") -> ReindexProgress:
            return await _progress(connection, {"tenant": tenant, "model": model.id})

        return await self._transactions.run(tenant, work, timeout_s=WRITE_S)

    async def unembedded(self, tenant: str, model: Model, limit: int, *, after: int = 0) -> Sequence[Unembedded]:
        """Passages of ready documents without this model's embedding, by key, from behind the key `after`."""
        values = {"tenant": tenant, "model": model.id}

        async def work(connection: "Connection") -> Sequence[Unembedded]:
            return await lacking(connection, OF_TENANT, values, after, limit)

        return await self._transactions.run(tenant, work, timeout_s=WRITE_S)

    async def switch(self, tenant: str, model: Model) -> bool:
        """Lets searches use the model if it has embedded every passage of the ready documents; else False.

        Embeddings of other models are of no use then: see `drop_others`.
        """
        values = {"tenant": tenant, "model": model.id}

        async def work(connection: "Connection") -> bool:
            # Documents become ready, or go, under the same lock.
            if await (await connection.execute(_LOCK, values)).fetchone() is None:
                return False
            progress = await _progress(connection, values)
            if progress.done != progress.total:
                return False
            await connection.execute(_SWITCH, values)
            return True

        return await self._transactions.run(tenant, work, timeout_s=WRITE_S)

    async def drop_others(self, tenant: str) -> None:
        """Drops the embeddings of models that are not the tenant's, in batches."""
        values = {"tenant": tenant, "batch": _DROPPED}

        async def work(connection: "Connection") -> int:
            return (await connection.execute(_DROP_OTHERS, values)).rowcount

        while await self._transactions.run(tenant, work, timeout_s=WRITE_S) == _DROPPED:
            pass


async def _progress(connection: "Connection", values: dict[str, Any]) -> ReindexProgress:
    row = await (await connection.execute(_PROGRESS, values)).fetchone() or {}
    return ReindexProgress(row["done"], row["total"])
