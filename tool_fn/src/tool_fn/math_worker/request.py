"""What the tool asks its worker."""

from typing import Literal

import msgspec

Operation = Literal[
    "evaluate",
    "simplify",
    "expand",
    "factor",
    "solve",
    "differentiate",
    "integrate",
    "limit",
    "series",
    "sum",
    "product",
    "convert",
]


class Request(msgspec.Struct):
    """The tool's arguments; "" stands for what was left out."""

    operation: Operation
    expression: str
    variable: str = ""
    values: dict[str, str] = {}
    lower: str = ""
    upper: str = ""
    at: str = ""
    direction: str = "both"
    order: int = 0
    to: str = ""
