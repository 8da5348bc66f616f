"""What the tool asks its worker: data, and what to do with it."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Statistic = Literal["count", "sum", "mean", "median", "min", "max", "std", "unique", "missing"]
Comparison = Literal["==", "!=", "<", "<=", ">", ">=", "contains", "in", "missing", "present"]


class Step(msgspec.Struct, forbid_unknown_fields=True):
    """One thing to do. `filter`, `select`, `sort`, `top` and `group_by` change the table for the steps after them."""

    do: Annotated[
        Literal[
            "describe",
            "count",
            "sum",
            "mean",
            "median",
            "min",
            "max",
            "std",
            "quantiles",
            "unique",
            "missing",
            "filter",
            "select",
            "sort",
            "top",
            "group_by",
        ],
        Meta(description="The others are answers about columns."),
    ]
    columns: Annotated[
        list[str],
        Meta(
            description="The columns it is about; none: all that fit. For group_by and sort: by which.", max_length=50
        ),
    ] = []
    aggregate: Annotated[
        dict[str, list[Statistic]],
        Meta(description="For group_by: {'price': ['mean', 'sum']} gives columns price_mean and price_sum."),
    ] = {}
    compare: Annotated[Comparison, Meta(description="For filter, with one column.")] = "=="
    value: Annotated[Any, Meta(description="For filter: what to compare with; a list for in.")] = None
    descending: Annotated[bool, Meta(description="For sort. For top it is always so.")] = False
    n: Annotated[int, Meta(description="For top: how many rows.", ge=1, le=1000)] = 10
    quantiles: Annotated[
        list[Annotated[float, Meta(ge=0, le=1)]], Meta(description="For quantiles.", min_length=1, max_length=20)
    ] = msgspec.field(default_factory=lambda: [0.25, 0.5, 0.75])


class Request(msgspec.Struct):
    """data: CSV or JSON as text, or JSON itself. path: where in the JSON the records are, with dots; "" at the top."""

    data: str | list[Any] | dict[str, Any]
    steps: list[Step] = []
    path: str = ""
