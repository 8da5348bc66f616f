"""Named lookups: each parameterised query of the operator's becomes a typed tool."""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta

from tool_fn.arguments import Arguments
from tool_fn.config import Lookup, Parameter
from tool_fn.means import Means
from tool_fn.tool import Call, Tool, typed_tool

TIME_LIMIT_S = 10.0
_PLACEHOLDER: Final = re.compile(r"%(?:%|\((?P<name>[^)]*)\)s|(?P<stray>.?))", re.DOTALL)
_TYPES: Final[dict[str, Any]] = {
    "string": Annotated[str, Meta(max_length=2000)],
    "integer": Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)],
    "number": float,
    "boolean": bool,
}


def build_tools(means: Means) -> Iterable[Tool]:
    """A tool for each lookup. Raises ValueError for one whose query and parameters do not fit."""
    for lookup in means.config.lookups:
        _check(lookup)
        yield _tool(lookup, means)


def _tool(lookup: Lookup, means: Means) -> Tool:
    fields = [(name, _type(parameter)) for name, parameter in lookup.parameters.items()]
    kind = msgspec.defstruct(lookup.name, fields, bases=(Arguments,), forbid_unknown_fields=True)

    async def run(arguments: Arguments, call: Call) -> str:
        reader = await means.databases.get(lookup.database)
        values = msgspec.structs.asdict(arguments)
        found = await reader.lookup(lookup.sql, values, max_rows=lookup.max_rows, seconds=call.remaining_s())
        if not found.values:
            return "Nothing was found."
        return found.as_record() if len(found.values) == 1 and not found.has_more else found.as_table()

    return typed_tool(
        name=lookup.name,
        description=lookup.description,
        input=cast("type[Arguments]", kind),
        run=run,
        time_limit_s=TIME_LIMIT_S,
        quotes_strangers=True,
    )


def _type(parameter: Parameter) -> Any:
    return Annotated[_TYPES[parameter.type], Meta(description=parameter.description)]


def _check(lookup: Lookup) -> None:
    used: set[str] = set()
    for found in _PLACEHOLDER.finditer(lookup.sql):
        if found["stray"] is not None:
            raise ValueError(f"lookup {lookup.name}: write %% for a percent sign, %(name)s for a parameter")
        if found["name"] is not None:
            used.add(found["name"])
    if missing := used - lookup.parameters.keys():
        raise ValueError(f"lookup {lookup.name}: the query has parameters that are not declared: {_list(missing)}")
    if unused := lookup.parameters.keys() - used:
        raise ValueError(f"lookup {lookup.name}: parameters that the query does not use: {_list(unused)}")


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
