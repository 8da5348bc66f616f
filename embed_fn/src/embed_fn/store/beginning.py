"""How a document begins: new, resumed, anew after a failure, or as another one with the same content."""

from typing import TYPE_CHECKING, Any, Final

import orjson

from embed_fn import errors
from embed_fn.store.clearing import Clearing
from embed_fn.store.records import Document, DocumentState, NewDocument
from embed_fn.store.rows import DOCUMENT, document_from, storable
from embed_fn.store.transactions import Transactions

if TYPE_CHECKING:
    from dormouse_runtime.postgres import Connection

_UNIQUE_VIOLATION: Final = "23505"
_ATTEMPTS: Final = 20
_LIBRARY: Final = "insert into libraries (tenant_id) values (%(tenant)s) on conflict do nothing"
_OF_ID: Final = f"select {DOCUMENT} from documents where tenant_id = %(tenant)s and id = %(id)s for update"  # noqa: S608
_OF_CONTENT: Final = f"""
    select {DOCUMENT} from documents
    where tenant_id = %(tenant)s and sha256 = %(sha256)s and state in ('ingesting', 'ready')
"""  # noqa: S608
_INSERT: Final = f"""
    insert into documents (tenant_id, id, name, size_bytes, sha256, recipe, metadata)
    values (%(tenant)s, %(id)s, %(name)s, %(size)s, %(sha256)s, %(recipe)s, %(metadata)s::jsonb)
    on conflict do nothing returning {DOCUMENT}
"""  # noqa: S608
_ANEW: Final = """
    update documents set state = 'ingesting', recipe = '', name = %(name)s, size_bytes = %(size)s, sha256 = %(sha256)s,
        metadata = %(metadata)s::jsonb, error = '', media_type = '', page_count = 0, chunk_total = null,
        changed_at = now()
    where tenant_id = %(tenant)s and id = %(id)s and state = 'failed'
"""
_NO_RECIPE: Final = """
    update documents set recipe = '', chunk_total = null
    where tenant_id = %(tenant)s and number = %(number)s and state = 'ingesting' and recipe <> %(recipe)s
"""
_RECIPE: Final = f"""
    update documents set recipe = %(recipe)s
    where tenant_id = %(tenant)s and number = %(number)s and state = 'ingesting' and recipe = '' and chunk_count = 0
    returning {DOCUMENT}
"""  # noqa: S608


async def begin(transactions: Transactions, clearing: Clearing, tenant: str, new: NewDocument) -> Document:
    """See DocumentStore.begin."""
    assert new.recipe
    values = {
        "tenant": tenant,
        "id": storable(new.id),
        "name": storable(new.name),
        "size": new.size_bytes,
        "sha256": new.sha256,
        "recipe": new.recipe,
        "metadata": orjson.dumps({storable(key): storable(text) for key, text in new.metadata.items()}).decode(),
    }
    for _ in range(_ATTEMPTS):
        row = await _find_or_make(transactions, tenant, values)
        if row is None:
            continue
        if row["state"] == "deleted":
            await clearing.clear(tenant, row["number"])
        elif row["state"] == DocumentState.INGESTING and row["recipe"] != new.recipe:
            changed = await _change_recipe(transactions, clearing, tenant, values | {"number": row["number"]})
            if changed is not None:
                return changed
        else:
            return document_from(row)
    raise errors.conflict("The document keeps changing; try again.")


async def _find_or_make(transactions: Transactions, tenant: str, values: dict[str, Any]) -> dict[str, Any] | None:
    """The row as it is now. None: it has just changed; look again."""

    async def work(connection: "Connection") -> dict[str, Any] | None:
        await connection.execute(_LIBRARY, values)
        row = await (await connection.execute(_OF_ID, values)).fetchone()
        twin = await (await connection.execute(_OF_CONTENT, values)).fetchone()
        if row is None:
            return twin or await (await connection.execute(_INSERT, values)).fetchone()
        if row["state"] == DocumentState.FAILED:
            if twin is not None:
                return twin
            await connection.execute(_ANEW, values)
            return None
        if row["state"] != "deleted" and row["sha256"] != values["sha256"]:
            raise errors.conflict("The id belongs to a document with another content.")
        return row

    try:
        return await transactions.run(tenant, work)
    except Exception as error:
        # By its code: to import the driver here would run into its import in the thread that loads it.
        if getattr(error, "sqlstate", "") != _UNIQUE_VIOLATION:
            raise
        return None  # another document with this content has just begun


async def _change_recipe(
    transactions: Transactions, clearing: Clearing, tenant: str, values: dict[str, Any]
) -> Document | None:
    """Drops what another recipe has stored. Until it has gone the document has none, and nobody adds to it."""

    async def stop(connection: "Connection") -> None:
        await connection.execute(_NO_RECIPE, values)

    async def start(connection: "Connection") -> Document | None:
        row = await (await connection.execute(_RECIPE, values)).fetchone()
        return None if row is None else document_from(row)

    await transactions.run(tenant, stop)
    await clearing.clear(tenant, values["number"])
    return await transactions.run(tenant, start)
