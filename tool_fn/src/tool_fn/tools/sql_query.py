"""`sql_query`: a model's own queries, on databases that the operator offers for them."""

from collections.abc import Iterable
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta

from tool_fn.arguments import Arguments
from tool_fn.means import Means
from tool_fn.tool import Call, Tool, typed_tool

TIME_LIMIT_S = 20.0
MOST_ROWS = 200


def build_tools(means: Means) -> Iterable[Tool]:
    """One tool where at least one database is offered for SQL, else none."""
    offered = {name: database for name, database in sorted(means.config.databases.items()) if database.sql}
    if not offered:
        return
    listed = "; ".join(f"{name}: {database.description or 'no description'}" for name, database in offered.items())
    text = Annotated[
        str, Meta(description="One SELECT in PostgreSQL's dialect. It cannot write.", min_length=1, max_length=20_000)
    ]
    rows = Annotated[int, Meta(description="How many rows to show at most.", ge=1, le=MOST_ROWS)]
    database = Annotated[Literal[tuple(offered)], Meta(description="Which database.")]  # type: ignore[valid-type]
    kind = msgspec.defstruct(
        "SqlQuery",
        [("database", database), ("sql", text), ("max_rows", rows, 50)],
        bases=(Arguments,),
        forbid_unknown_fields=True,
    )

    async def run(query: Arguments, call: Call) -> str:
        asked = msgspec.structs.asdict(query)
        reader = await means.databases.get(asked["database"])
        found = await reader.query(asked["sql"], max_rows=asked["max_rows"], seconds=call.remaining_s())
        return found.as_table()

    yield typed_tool(
        name="sql_query",
        description=(
            f"Reads a PostgreSQL database with one SELECT. Databases: {listed}. Tables and columns are listed in "
            "information_schema.columns; look there first when you do not know them. Aggregate in SQL rather than "
            "reading many rows."
        ),
        input=cast("type[Arguments]", kind),
        run=run,
        time_limit_s=TIME_LIMIT_S,
        quotes_strangers=True,
    )
