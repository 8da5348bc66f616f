"""How a result comes about, where that can be told without much work."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import sympy
from sympy import Expr, Symbol
from sympy.integrals import manualintegrate

from tool_fn.math_worker.patience import OutOfPatience, at_most
from tool_fn.math_worker.shown import exact

_MOST: Final = 8
_LONGEST: Final = 200
_INTEGRAL_S: Final = 0.3
_CAPITAL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def of_derivative(expression: Expr, variable: Symbol) -> list[str]:
    """The rules, from the outside in."""
    return _readable(_derivative(expression, variable))


def of_integral(expression: Expr, variable: Symbol) -> list[str]:
    """The rules that lead to an antiderivative; none where that would take long."""
    try:
        with at_most(_INTEGRAL_S):
            rule = manualintegrate.integral_steps(expression, variable)
            if rule.contains_dont_know():
                return []
            return _readable(_integral(rule))
    except (OutOfPatience, NotImplementedError, ValueError, TypeError, AttributeError, RecursionError):
        return []


def of_equation(expression: Expr, variable: Symbol) -> list[str]:
    """For polynomials: standard form, factors, and the formula that solves it."""
    if not expression.is_polynomial(variable):
        return []
    polynomial = sympy.Poly(expression, variable)
    steps = [f"standard form: {exact(polynomial.as_expr())} = 0"]
    coefficients = polynomial.all_coeffs()
    if polynomial.degree() == 1:
        a, b = coefficients
        steps.append(f"linear: {variable} = -({exact(b)})/({exact(a)})")
    elif polynomial.degree() == 2:
        a, b, c = coefficients
        discriminant = sympy.expand(b**2 - 4 * a * c)
        steps.append(
            f"quadratic formula {variable} = (-b ± sqrt(D))/(2*a) with a = {exact(a)}, b = {exact(b)}, "
            f"c = {exact(c)}, D = b**2 - 4*a*c = {exact(discriminant)}"
        )
    elif 2 < polynomial.degree() <= 20:
        factored = sympy.factor(polynomial.as_expr())
        if isinstance(factored, sympy.Mul | sympy.Pow):
            steps.append(f"factors: {exact(factored)} = 0")
    return _readable(iter(steps))


def _readable(steps: Iterator[str]) -> list[str]:
    return [step if len(step) <= _LONGEST else step[: _LONGEST - 1] + "…" for step in islice(steps, _MOST)]


def _derivative(expression: Expr, x: Symbol) -> Iterator[str]:
    if not expression.has(x) or expression == x:
        return
    name = exact(expression)
    if isinstance(expression, sympy.Add):
        yield f"sum rule: each term of {name} by itself"
        inner = expression.args
    elif isinstance(expression, sympy.Mul):
        numerator, denominator = expression.as_numer_denom()
        varying = [factor for factor in expression.args if factor.has(x)]
        if denominator.has(x) and numerator.has(x):
            yield f"quotient rule: (u/v)' = (u'*v - u*v')/v**2 with u = {exact(numerator)}, v = {exact(denominator)}"
            inner = (numerator, denominator)
        elif len(varying) > 1:
            first, rest = varying[0], sympy.Mul(*varying[1:])
            yield f"product rule: (u*v)' = u'*v + u*v' with u = {exact(first)}, v = {exact(rest)}"
            inner = (first, rest)
        else:
            inner = tuple(varying)
    elif isinstance(expression, sympy.Pow) and not expression.exp.has(x):
        kind = "power rule" if expression.base == x else "power rule and chain rule"
        yield f"{kind}: d/d{x} {name} = {exact(expression.diff(x))}"
        inner = () if expression.base == x else (expression.base,)
    else:
        argument = expression.args[0] if expression.args else x
        kind = "standard derivative" if argument == x or len(expression.args) > 1 else "chain rule"
        yield f"{kind}: d/d{x} {name} = {exact(expression.diff(x))}"
        inner = (argument,) if kind == "chain rule" else ()
    for part in inner:
        yield from _derivative(part, x)


def _integral(rule: Any) -> Iterator[str]:
    if isinstance(rule, manualintegrate.AlternativeRule):
        yield from _integral(rule.alternatives[0])
        return
    name = _CAPITAL.sub(" ", type(rule).__name__.removesuffix("Rule")).lower()
    integrand = f"{exact(rule.integrand)} d{rule.variable}"
    match rule:
        case manualintegrate.URule():
            yield f"substitution {rule.u_var} = {exact(rule.u_func)} in {integrand}"
        case manualintegrate.PartsRule():
            yield f"by parts with u = {exact(rule.u)}, dv = {exact(rule.dv)} d{rule.variable}"
        case manualintegrate.RewriteRule():
            yield f"rewrite {integrand} as {exact(rule.rewritten)} d{rule.variable}"
        case manualintegrate.AddRule():
            yield f"sum rule: each term of {integrand} by itself"
        case manualintegrate.ConstantTimesRule():
            yield f"constant factor {exact(rule.constant)} of {integrand}"
        case _:
            yield f"{name} rule: {integrand}"
    for inner in ("substep", "v_step", "second_step"):
        following = getattr(rule, inner, None)
        if following is not None:
            yield from _integral(following)
    for following in getattr(rule, "substeps", ()):
        yield from _integral(following)
