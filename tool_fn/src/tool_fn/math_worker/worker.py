"""The worker of the math tool: SymPy in a confined process."""

import importlib
import pkgutil
from typing import Final

import msgspec
import sympy

from tool_fn.math_worker.operations import answer
from tool_fn.math_worker.request import Request
from tool_fn.tool import ToolError
from tool_fn.workers import refuses_with_tool_errors

# Parts of SymPy that are imported when they are needed, which a confined process can no longer do.
_PACKAGES: Final = (
    "assumptions", "calculus", "combinatorics", "concrete", "discrete", "functions", "integrals", "logic", "matrices",
    "ntheory", "polys", "series", "sets", "simplify", "solvers", "tensor.array", "vector",
)  # fmt: skip
_MODULES: Final = ("codegen.abstract_nodes", "codegen.ast", "codegen.pynodes", "physics.units")
_NOT_THESE: Final = ("tests", "test", "testutil", "benchmarks", "_doc", "z3", "pycosat", "minisat", "common", "dimacs")
_WARM_UP: Final = (
    Request("solve", "x**2 - 5*x + 6 = 0"),
    Request("limit", "sin(x)/x", at="0"),
    Request("sum", "1/n**2", variable="n", lower="1", upper="oo"),
    Request("simplify", "sin(x)**2 + cos(x)**2"),
    Request("evaluate", "eigenvalues([[1, 2], [3, 4]])"),
    Request("convert", "100 km/h", to="mph"),
)
_FAILURES: Final = (
    ArithmeticError, AssertionError, AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError,
    sympy.PolynomialError, sympy.SympifyError,
)  # fmt: skip
_decoder: Final = msgspec.json.Decoder(Request)


def prepare() -> None:
    """Imports what SymPy would import later, and uses some common paths once.

    Not those that cost a tenth of a second each, integrals for instance: a first call often waits for this worker.
    """
    for package in _PACKAGES:
        module = importlib.import_module(f"sympy.{package}")
        for found in pkgutil.walk_packages(module.__path__, f"{module.__name__}."):
            if not found.name.rpartition(".")[2].endswith(_NOT_THESE) and ".tests" not in found.name:
                importlib.import_module(found.name)
    for name in _MODULES:
        importlib.import_module(f"sympy.{name}")
    x = sympy.Symbol("x")
    sympy.nsolve(sympy.cos(x) - x, x, 1)
    for request in _WARM_UP:
        answer(request)


@refuses_with_tool_errors
def handle(request: bytes) -> bytes:
    """One request as JSON, one text. Raises ToolError."""
    try:
        return answer(_decoder.decode(request)).encode()
    except _FAILURES as error:
        says = " ".join(str(error).split())[:200]
        raise ToolError(
            f"This cannot be worked out here{f' ({says})' if says else ''}. Try it in another form."
        ) from error
