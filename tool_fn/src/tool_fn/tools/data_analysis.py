"""data_analysis: figures about a table of data."""

from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
from dormouse_runtime.workers import WorkerKind
from dormouse_runtime.workers.kind import MIB
from msgspec import Meta

from tool_fn.arguments import Arguments
from tool_fn.data_worker.request import Step
from tool_fn.means import Means
from tool_fn.tool import Call, Tool, typed_tool
from tool_fn.workers import Workers

WORKER: Final = WorkerKind("data_analysis", "tool_fn.data_worker.worker", memory_bytes=768 * MIB, processes=2)
_LIMIT_S: Final = 15.0
# Past that: to start a worker, and to wait for one.
_SLACK_S: Final = 12.0
_DESCRIPTION: Final = (
    "Calculates figures about data that you have as CSV or JSON: describe the columns, count, sum, mean, median, min, "
    "max, std, quantiles, unique values, missing values, filter, sort, top rows, group by. Use it for every figure "
    "about more than a few values. Nested JSON becomes columns with dotted names, such as address.city. Steps are "
    "carried out in their order; filter, select, sort, top and group_by change the table for the steps after them, and "
    "the table is shown if one of them is the last. Without steps the columns are described."
)


class DataAnalysis(Arguments):
    """The data, and what to find out."""

    data: Annotated[
        str | list[Any] | dict[str, Any],
        Meta(description="CSV with a line of names, or JSON: a list of records, or an object that holds one."),
    ]
    steps: Annotated[
        list[Step],
        Meta(
            description="Such as [{'do': 'filter', 'columns': ['year'], 'compare': '>=', 'value': 2020}, "
            "{'do': 'group_by', 'columns': ['city'], 'aggregate': {'price': ['mean', 'max']}}].",
            max_length=30,
        ),
    ] = msgspec.field(default_factory=list)
    path: Annotated[
        str, Meta(description="Where the records are inside JSON, such as result.items.", max_length=200)
    ] = ""


def build_tools(means: Means) -> Iterable[Tool]:
    yield data_tool(means.workers)


def data_tool(workers: Workers, limit_s: float = _LIMIT_S) -> Tool:
    """limit_s: for the working out alone; to wait for a worker comes on top."""
    workers.declare(WORKER)

    async def run(arguments: DataAnalysis, call: Call) -> str:
        return (await workers.call(WORKER.name, msgspec.json.encode(arguments), limit_s)).decode()

    return typed_tool(
        name="data_analysis",
        description=_DESCRIPTION,
        input=DataAnalysis,
        run=run,
        time_limit_s=limit_s + _SLACK_S,
    )
