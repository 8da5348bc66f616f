"""Which passages lack a model's embedding: asked window by window, along an index.

Asked at once, it would be for the planner to guess, and while much is being stored its statistics know of nothing yet:
it then compares each passage with each embedding.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from embed_fn.store.records import Unembedded

if TYPE_CHECKING:
    from dormouse_runtime.postgres import Connection

_LARGE_WINDOW: Final = 2048
# In the order of an index: then a window costs what is in it.
_ALONG_AN_INDEX: Final = "select set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true)"
_WINDOW: Final = """
    with next as materialized ({passages}), embedded as materialized (
        select e.chunk from embeddings e
        where e.tenant_id = %(tenant)s and e.model = %(model)s
            and e.chunk between (select min(key) from next) and (select max(key) from next)
        order by e.chunk
    ), looked as (
        select n.*, {condition} and n.key not in (select chunk from embedded) as lacks from next n
    )
    select key, number, lacks, case when lacks then text end as text, headings from looked
"""
OF_DOCUMENT: Final = _WINDOW.format(
    passages="""
        select c.key, c.number, c.text, c.headings from chunks c
        where c.tenant_id = %(tenant)s and c.number > %(after)s
            and c.document = (select number from documents where tenant_id = %(tenant)s and id = %(id)s)
        order by c.number limit %(window)s
    """,
    condition="true",
)
"""By number. Wants tenant, id, model."""
OF_TENANT: Final = _WINDOW.format(
    passages="""
        select c.key, c.number, c.text, c.headings, c.document from chunks c
        where c.tenant_id = %(tenant)s and c.key > %(after)s order by c.key limit %(window)s
    """,
    condition="n.document not in (select number from documents where tenant_id = %(tenant)s and state <> 'ready')",
)
"""By key, of ready documents. Wants tenant, model."""


async def lacking(
    connection: "Connection", statement: str, values: Mapping[str, Any], after: int, limit: int
) -> Sequence[Unembedded]:
    """The first of them from behind `after`, at most `limit`. Empty: there are none."""
    await connection.execute(_ALONG_AN_INDEX)
    place = "number" if statement is OF_DOCUMENT else "key"
    window = limit
    while True:
        found = await connection.execute(statement, {**values, "after": after, "window": window})
        rows = sorted(await found.fetchall(), key=itemgetter(place))
        missing = [
            Unembedded(row["key"], row["number"], row["text"], tuple(row["headings"])) for row in rows if row["lacks"]
        ]
        if missing or len(rows) < window:
            return missing[:limit]
        after, window = rows[-1][place], max(limit, _LARGE_WINDOW)
