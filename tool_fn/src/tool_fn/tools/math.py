"""math: exact calculation, algebra and calculus, and units."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec
from dormouse_runtime.workers import WorkerKind
from dormouse_runtime.workers.kind import MIB
from msgspec import Meta

from tool_fn.arguments import Arguments
from tool_fn.means import Means
from tool_fn.tool import Call, Tool, typed_tool
from tool_fn.workers import Workers

WORKER: Final = WorkerKind("math", "tool_fn.math_worker.worker", memory_bytes=512 * MIB, processes=2)
_LIMIT_S: Final = 8.0
# Past that: to start a worker, and to wait for one.
_SLACK_S: Final = 12.0
_DESCRIPTION: Final = (
    "Calculates exactly: arithmetic of any size, algebra, equations and systems, derivatives, integrals, limits, "
    "series, sums, matrices, units. Use it for every calculation instead of working it out yourself. Returns the exact "
    "result, about 15 digits of it, and the rules that lead to it. Functions: sqrt, exp, log(x, base), ln, sin, asin, "
    "abs, floor, round, min, max, factorial or 5!, binomial, gcd, lcm, mod, isprime, primefactors; for matrices such "
    "as [[1, 2], [3, 4]]: det, inv, transpose, rank, rref, eigenvalues. Constants: pi, e, i, oo."
)


# Models write bounds and points as numbers as often as they write them as text.
Value = Annotated[str, Meta(max_length=200)] | int | float


class Math(Arguments):
    """What to work out."""

    operation: Annotated[
        Literal[
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
        ],
        Meta(description="evaluate calculates a number or a matrix; convert changes units, see to."),
    ]
    expression: Annotated[
        str,
        Meta(
            description="Such as 3*x^2 + 2x or 15% of 80; to solve: x + y = 3; x - y = 1 or x^2 < 4; to convert: 5 ft.",
            min_length=1,
            max_length=2000,
        ),
    ]
    variable: Annotated[
        str, Meta(description="The variable; several for solve: x, y. Not needed if there is one.", max_length=100)
    ] = ""
    values: Annotated[
        dict[str, Value], Meta(description="What to put in for names, such as {'x': '3'}.", max_length=20)
    ] = msgspec.field(default_factory=dict)
    lower: Annotated[Value, Meta(description="Lower bound of integrate, sum, product.")] = ""
    upper: Annotated[Value, Meta(description="Upper bound, such as n or oo.")] = ""
    at: Annotated[Value, Meta(description="Point of limit and series; of differentiate to get a value.")] = ""
    direction: Annotated[Literal["both", "left", "right"], Meta(description="Side of a limit.")] = "both"
    order: Annotated[int, Meta(description="Of a derivative (1) or a series (6).", ge=0, le=30)] = 0
    to: Annotated[str, Meta(description="Unit to convert to, such as mph.", max_length=100)] = ""


def build_tools(means: Means) -> Iterable[Tool]:
    yield math_tool(means.workers)


def math_tool(workers: Workers, limit_s: float = _LIMIT_S) -> Tool:
    """limit_s: for the working out alone; to wait for a worker comes on top."""
    workers.declare(WORKER)

    async def run(arguments: Math, call: Call) -> str:
        request = msgspec.structs.asdict(arguments)
        request |= {name: str(request[name]) for name in ("lower", "upper", "at")}
        request["values"] = {name: str(value) for name, value in arguments.values.items()}
        return (await workers.call(WORKER.name, msgspec.json.encode(request), limit_s)).decode()

    return typed_tool(
        name="math",
        description=_DESCRIPTION,
        input=Math,
        run=run,
        time_limit_s=limit_s + _SLACK_S,
        # SymPy takes a second or two to load: it does while the model thinks.
        expect=lambda: workers.warm(WORKER.name),
    )
