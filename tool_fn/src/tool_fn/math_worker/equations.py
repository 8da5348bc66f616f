"""Equations, inequalities and systems of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import sympy
from sympy import Expr, Symbol

from tool_fn.math_worker import steps
from tool_fn.math_worker.patience import OutOfPatience, at_most
from tool_fn.math_worker.reading import read
from tool_fn.math_worker.shown import both, decimal, exact, short
from tool_fn.tool import ToolError

_MOST_SOLUTIONS: Final = 30
_MOST_EQUATIONS: Final = 10
_FORMULA_S: Final = 2.0
# Where the search for a number begins when there is no formula.
_STARTS: Final = (0.5, -0.5, 1, -1, 2, -2, 5, -5, 10, -10, 50, -50)


def solve(text: str, variables: Sequence[Symbol], values: Mapping[str, Any]) -> str:
    """The solutions, or a sentence that says that there are none. Several equations stand between semicolons.

    Raises ToolError.
    """
    parts = [part for part in text.replace("\n", ";").split(";") if part.strip()]
    relations = [relation for part in parts for relation in _each(read(part, values))]
    if not 0 < len(relations) <= _MOST_EQUATIONS:
        raise ToolError(f"Give one to {_MOST_EQUATIONS} equations, with a semicolon between two.")
    unknown = list(variables) or sorted(set().union(*(relation.free_symbols for relation in relations)), key=str)
    if any(relation == sympy.false for relation in relations):
        return "There is no solution: an equation is never true."
    relations = [relation for relation in relations if relation != sympy.true]
    if not relations:
        return "This is always true."
    if not unknown:
        return "There is no solution: an equation is never true."
    if len(relations) == 1 and len(unknown) == 1:
        relation = relations[0]
        return _equation(relation, unknown[0]) if isinstance(relation, sympy.Eq) else _inequality(relation, unknown[0])
    if len(relations) == 1 and not variables:
        raise ToolError(f"Say which variable to solve for: {', '.join(map(str, unknown))}.")
    if not all(isinstance(relation, sympy.Eq) for relation in relations):
        raise ToolError("Inequalities can be solved one at a time, in one variable.")
    return _system(relations, unknown)


def _each(value: Any) -> Iterable[Any]:
    """Relations; a bare expression stands for its equation with zero."""
    if isinstance(value, tuple):
        for part in value:
            yield from _each(part)
    elif isinstance(value, Expr):
        yield sympy.Eq(value, 0)
    elif isinstance(value, sympy.Rel) or value in (sympy.true, sympy.false):
        yield value
    else:
        raise ToolError("An equation has expressions on both sides, as in 2*x + 1 = 5.")


def _equation(equation: Any, x: Symbol) -> str:
    difference = equation.lhs - equation.rhs
    if not difference.has(x):
        raise ToolError(f"{x} is not in the equation.")
    polynomial = difference.as_poly(x) if difference.is_polynomial(x) else None
    if polynomial is not None and (polynomial.domain.is_ZZ or polynomial.domain.is_QQ) and polynomial.degree() > 2:
        found = _roots(polynomial)
    else:
        formulas = _formulas(equation, x)
        if formulas is None:
            return _numerically(difference, x)
        found = formulas
    rules = steps.of_equation(difference, x)
    tail = ["Steps:", *(f"- {rule}" for rule in rules)] if rules else []
    if not found:
        return "\n".join(["There is no solution.", *tail])
    found.sort(key=sympy.default_sort_key)
    lines = [_solution(x, value) for value in found[:_MOST_SOLUTIONS]]
    if len(found) > _MOST_SOLUTIONS:
        lines.append(f"and {len(found) - _MOST_SOLUTIONS} more")
    if difference.has(sympy.sin, sympy.cos, sympy.tan, sympy.cot, sympy.sec, sympy.csc):
        lines += _periodic(difference, x)
    return "\n".join([*lines, *tail])


def _solution(x: Symbol, value: Expr) -> str:
    return f"{x} ≈ {short(value)}" if value.has(sympy.Float) else f"{x} = {both(value)}"


def _roots(polynomial: Any) -> list[Any]:
    """Exact ones of factors that have short formulas, decimal ones of the others, whose formulas nobody can read."""
    found: list[Any] = []
    for factor, _ in polynomial.factor_list()[1]:
        if factor.degree() <= 2 or len(factor.terms()) == 2:
            found += sympy.solve(factor.as_expr(), *factor.gens)
        else:
            found += factor.nroots(n=15, maxsteps=200)
    return found


def _formulas(equation: Any, x: Symbol) -> list[Any] | None:
    """The solutions; None: SymPy knows no way to them, or looks for one for long."""
    # Absolute values can only be solved for real numbers.
    real = Symbol(str(x), real=True)
    symbols = (x, real) if equation.has(sympy.Abs, sympy.sign) else (x,)
    try:
        with at_most(_FORMULA_S):
            for symbol in symbols:
                try:
                    return list(sympy.solve(equation.subs(x, symbol), symbol))
                except NotImplementedError:
                    continue
    except OutOfPatience:
        return None
    return None


def _periodic(difference: Expr, x: Symbol) -> list[str]:
    """All solutions of a trigonometric equation, of which `solve` gives those of one period."""
    whole = sympy.solveset(difference, x, sympy.S.Reals)
    if whole.has(sympy.ConditionSet) or isinstance(whole, sympy.FiniteSet):
        return ["These are the solutions in one period; there may be more."]
    return [f"all real solutions: {exact(whole)}"]


def _numerically(difference: Expr, x: Symbol) -> str:
    if len(difference.free_symbols) > 1:
        raise ToolError("No formula was found, and with other variables in it the equation has no numeric solution.")
    found: list[Any] = []
    for start in _STARTS:
        try:
            root = sympy.nsolve(difference, x, start)
        except (ValueError, TypeError, ZeroDivisionError, ArithmeticError):
            continue
        if abs(sympy.im(root)) < 1e-10 and all(abs(root - known) > 1e-8 for known in found):
            found.append(sympy.re(root))
    if not found:
        raise ToolError("No solution was found, neither a formula nor a number.")
    lines = [f"{x} ≈ {decimal(sympy.N(root, 12))}" for root in sorted(found)]
    return "\n".join([*lines, "There is no formula that is known here; these were found by search, there may be more."])


def _inequality(relation: Any, x: Symbol) -> str:
    if relation.free_symbols - {x}:
        raise ToolError("An inequality can be solved in one variable, without others in it.")
    real = Symbol(str(x), real=True)
    try:
        found = sympy.solve_univariate_inequality(relation.subs(x, real), real, relational=False)
    except NotImplementedError as error:
        raise ToolError("This inequality cannot be solved here.") from error
    if found is sympy.S.EmptySet:
        return "There is no solution."
    return f"{x} in {exact(found)}\nwhich is: {exact(found.as_relational(x))}"


def _system(equations: list[Any], unknown: list[Symbol]) -> str:
    try:
        found = sympy.solve(equations, unknown, dict=True)
    except NotImplementedError as error:
        raise ToolError("This system cannot be solved here.") from error
    if not found:
        return "There is no solution."
    lines = []
    for solution in found[:_MOST_SOLUTIONS]:
        parts = [f"{name} = {both(solution[name])}" for name in unknown if name in solution]
        free = [str(name) for name in unknown if name not in solution]
        if free:
            parts.append(f"{', '.join(free)} free")
        lines.append(", ".join(parts))
    if len(found) > _MOST_SOLUTIONS:
        lines.append(f"and {len(found) - _MOST_SOLUTIONS} more")
    return "\n".join(lines)
