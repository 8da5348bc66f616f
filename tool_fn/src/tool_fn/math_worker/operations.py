"""What can be done with an expression. Every operation gives the text that the model reads."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import sympy
from sympy import Expr, Integral, MatrixBase, Symbol

from tool_fn.math_worker import steps
from tool_fn.math_worker.equations import solve
from tool_fn.math_worker.functions import CONSTANTS
from tool_fn.math_worker.reading import read
from tool_fn.math_worker.request import Request
from tool_fn.math_worker.shown import both, exact, numeric, short, simplified
from tool_fn.math_worker.units import convert
from tool_fn.tool import ToolError

_MOST_TERMS: Final = 30


def answer(request: Request) -> str:
    """Raises ToolError."""
    return _OPERATIONS[request.operation](request)


def _evaluate(request: Request) -> str:
    value = _read(request, request.expression)
    if isinstance(value, tuple):
        return "\n".join(both(part) for part in value)
    if isinstance(value, MatrixBase):
        numbers = value.applyfunc(lambda entry: sympy.N(entry, 6))
        is_plain = all(entry.is_Integer or entry.free_symbols for entry in value)
        return exact(value) if is_plain else f"{exact(value)}\n≈ {exact(numbers)}"
    if not isinstance(value, Expr):
        return exact(value)
    return both(simplified(value.doit()))


def _simplify(request: Request) -> str:
    value = _expression(request)
    return both(sympy.simplify(value))


def _expand(request: Request) -> str:
    return both(sympy.expand(_expression(request)))


def _factor(request: Request) -> str:
    value = _expression(request)
    if value.is_Integer:
        factors = sympy.factorint(value)
        parts = [str(prime) if count == 1 else f"{prime}**{count}" for prime, count in factors.items()]
        return f"{exact(value)} = {' * '.join(parts)}" if parts else exact(value)
    factored = sympy.factor(value)
    if factored == value and isinstance(value, sympy.Add):
        return f"{exact(value)} does not factor over the rational numbers."
    return exact(factored)


def _differentiate(request: Request) -> str:
    value, x = _expression(request), _variable(request)
    order = request.order or 1
    derivative = simplified(sympy.diff(value, x, order))
    lines = [f"d{f'^{order}' if order > 1 else ''}/d{x}{f'^{order}' if order > 1 else ''}: {both(derivative)}"]
    if request.at:
        lines.append(f"at {x} = {request.at}: {both(derivative.subs(x, _bound(request, request.at)))}")
    return _with_steps(lines, steps.of_derivative(value, x) if order == 1 else [])


def _integrate(request: Request) -> str:
    value, x = _expression(request), _variable(request)
    if bool(request.lower) != bool(request.upper):
        raise ToolError("A definite integral needs both lower and upper; leave both out for an antiderivative.")
    if request.lower:
        lower, upper = _bound(request, request.lower), _bound(request, request.upper)
        result = sympy.integrate(value, (x, lower, upper))
        about = numeric(result)
        if result.has(Integral):
            if about is None:
                raise ToolError("No closed form was found, and the integral cannot be worked out numerically.")
            return (
                f"≈ {about}\nThere is no closed form that is known here; the number comes from numerical integration."
            )
        return _with_steps([both(simplified(result))], steps.of_integral(value, x))
    result = sympy.integrate(value, x)
    if result.has(Integral):
        raise ToolError("No antiderivative was found. With lower and upper the integral can be worked out numerically.")
    return _with_steps([f"{exact(result)} + C"], steps.of_integral(value, x))


def _limit(request: Request) -> str:
    value, x = _expression(request), _variable(request)
    if not request.at:
        raise ToolError("A limit needs at: the value that the variable goes to, such as 0 or oo.")
    point = _bound(request, request.at)
    if request.direction == "both" and point not in (sympy.oo, -sympy.oo):
        left, right = (sympy.limit(value, x, point, side) for side in ("-", "+"))
        if left != right:
            return f"The limit does not exist: {both(left)} from the left, {both(right)} from the right."
        found = right
    else:
        found = sympy.limit(value, x, point, "-" if request.direction == "left" else "+")
    if found.has(sympy.Limit):
        raise ToolError("The limit could not be found.")
    direct = value.subs(x, point)
    how = "by inserting the value" if direct == found else ""
    if direct in (sympy.nan, sympy.zoo):
        how = "inserting the value is undefined, so it comes from the series around it"
    return _with_steps([both(found)], [how] if how else [])


def _series(request: Request) -> str:
    value, x = _expression(request), _variable(request)
    point = _bound(request, request.at or "0")
    return exact(sympy.series(value, x, point, min(request.order or 6, _MOST_TERMS)))


def _sum(request: Request) -> str:
    return _over_range(request, sympy.summation, sympy.Sum, "sum")


def _product(request: Request) -> str:
    return _over_range(request, sympy.product, sympy.Product, "product")


def _over_range(request: Request, closed: Callable[..., Any], kind: type, name: str) -> str:
    value, x = _expression(request), _variable(request)
    if not request.lower or not request.upper:
        raise ToolError(f"A {name} needs lower and upper, such as 1 and n, or 1 and oo.")
    lower, upper = _bound(request, request.lower), _bound(request, request.upper)
    result = closed(value, (x, lower, upper))
    if result.has(kind):
        about = numeric(result)
        if about is None:
            raise ToolError(f"No closed form of the {name} was found.")
        return f"≈ {about}\nThere is no closed form that is known here."
    return both(simplified(result))


def _solve(request: Request) -> str:
    return solve(request.expression, _variables(request), _values(request))


def _convert(request: Request) -> str:
    if not request.to:
        raise ToolError("A conversion needs to: the unit that is wanted, such as mph.")
    return f"{request.expression} = {short(convert(request.expression, request.to))} {request.to}"


_OPERATIONS: Final[Mapping[str, Callable[[Request], str]]] = {
    "evaluate": _evaluate,
    "simplify": _simplify,
    "expand": _expand,
    "factor": _factor,
    "solve": _solve,
    "differentiate": _differentiate,
    "integrate": _integrate,
    "limit": _limit,
    "series": _series,
    "sum": _sum,
    "product": _product,
    "convert": _convert,
}


def _values(request: Request) -> dict[str, Any]:
    """What names stand for: the given values, and the variables themselves even where they are constants otherwise."""
    values: dict[str, Any] = {str(variable): variable for variable in _variables(request)}
    for name, text in request.values.items():
        value = read(text)
        if not isinstance(value, Expr):
            raise ToolError(f"The value of {name!r} is not a number or an expression.")
        values[name] = value
    return values


def _variables(request: Request) -> list[Symbol]:
    names = request.variable.replace(",", " ").split()
    for name in names:
        if not name.isidentifier() or len(name) > 30 or name.startswith("_"):
            raise ToolError(f"{name!r} is not a name for a variable.")
    if len(names) > 10:
        raise ToolError("There are more than 10 variables.")
    return [Symbol(name) for name in names]


def _read(request: Request, text: str) -> Any:
    return read(text, _values(request))


def _expression(request: Request) -> Expr:
    value = _read(request, request.expression)
    if isinstance(value, Expr):
        return value
    if isinstance(value, MatrixBase):
        raise ToolError("This works on expressions; for matrices use evaluate, with det, inv, rank, eigenvalues …")
    raise ToolError("This needs one expression without an equals sign.")


def _bound(request: Request, text: str) -> Expr:
    value = _read(request, text)
    if not isinstance(value, Expr):
        raise ToolError(f"{text!r} is not a number or an expression.")
    return value


def _variable(request: Request) -> Symbol:
    """The one variable: the named one, or the only one there is."""
    named = _variables(request)
    if len(named) > 1:
        raise ToolError("This takes one variable.")
    if named:
        return named[0]
    found = sorted(map(str, _expression(request).free_symbols))
    if len(found) == 1:
        return Symbol(found[0])
    if not found:
        names = [name for name in ("x", "t", "n") if name not in CONSTANTS]
        return Symbol(names[0])
    raise ToolError(f"Say which variable: {', '.join(found)}.")


def _with_steps(lines: list[str], rules: list[str]) -> str:
    if rules:
        lines = [*lines, "Steps:", *(f"- {rule}" for rule in rules)]
    return "\n".join(lines)
