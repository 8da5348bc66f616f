"""The functions and constants that expressions may use, each with a limit on what it may be given.

SymPy works out numbers as soon as it sees them, so what would be too large is refused before.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sympy
from sympy import Expr, Integer, MatrixBase, Rational

from tool_fn.tool import ToolError

# Of a number that is written out. Python itself refuses to write more than 4300.
MOST_DIGITS: Final = 4000
_MOST_ROWS: Final = 20


@dataclass(frozen=True, slots=True)
class Function:
    """least and most arguments, and what makes a SymPy object of them."""

    least: int
    most: int
    make: Callable[..., Any]


def power(base: Any, exponent: Any) -> Any:
    """base**exponent. Raises ToolError where it would have too many digits."""
    if isinstance(exponent, MatrixBase):
        raise ToolError("A matrix cannot be an exponent.")
    if isinstance(base, MatrixBase):
        if not exponent.is_Integer or abs(exponent) > 1000:
            raise ToolError("A matrix can only be raised to an integer from -1000 to 1000.")
        return base**exponent
    if base.is_Rational and exponent.is_Rational and base not in (0, 1, -1):
        largest = max(abs(base.p), base.q)
        # Exponents of more bits than this are out of the question, and too large for a float.
        digits = math.inf if exponent.p.bit_length() > 900 else abs(exponent.p) / exponent.q * _log10(largest)
        if digits > MOST_DIGITS:
            raise ToolError(
                f"{_short(base)}**{_short(exponent)} has {_about(digits)} digits, more than the {MOST_DIGITS} that can "
                "be worked out. Take its logarithm instead, or a smaller exponent."
            )
    return base**exponent


def _log10(value: int) -> float:
    return (value.bit_length() - 1) * 0.30103 if value.bit_length() > 900 else math.log10(value)


def _about(digits: float) -> str:
    return f"about {digits:.3g}" if digits < 1e300 else "far too many"


def _short(value: Any) -> str:
    """For sentences: `value` may be a number that is too long to be written."""
    if max(abs(value.p), value.q) < 10**12:
        return str(value) if value.is_Integer and value >= 0 else f"({value})"
    return "(a long number)"


def _bounded(make: Callable[..., Any], most: int, name: str) -> Callable[..., Any]:
    """For functions of integers that grow fast."""

    def made(*arguments: Any) -> Any:
        for argument in arguments:
            if getattr(argument, "is_number", False) and argument.is_real and abs(argument) > most:
                raise ToolError(f"{name} can only be worked out up to {most}.")
        return make(*arguments)

    return made


def _short_integer(make: Callable[..., Any], most_digits: int, name: str) -> Callable[..., Any]:
    """For functions of a single integer that take long for long ones."""

    def made(value: Any) -> Any:
        if not value.is_Integer:
            raise ToolError(f"{name} takes an integer.")
        if abs(value.p) >= 10**most_digits:
            raise ToolError(f"{name} takes integers of at most {most_digits} digits.")
        return make(value)

    return made


def _whole(make: Callable[..., Any], name: str) -> Callable[..., Any]:
    """For gcd and lcm."""

    def made(*values: Any) -> Any:
        result = values[0]
        for value in values[1:]:
            result = make(result, value)
        return result

    return made


def _log(value: Expr, base: Expr | None = None) -> Expr:
    return sympy.log(value) if base is None else sympy.log(value, base)


def _mod(value: Expr, divisor: Expr) -> Expr:
    if divisor == 0:
        raise ToolError("Division by zero.")
    return sympy.Mod(value, divisor)


def _prime_factors(value: Integer) -> Any:
    """Pairs of a prime and how often it divides the value."""
    return sympy.Tuple(*(sympy.Tuple(prime, count) for prime, count in sorted(sympy.factorint(value).items())))


def _divisors(value: Integer) -> Any:
    found = sympy.divisors(value)
    if len(found) > 200:
        raise ToolError(f"{value} has {len(found)} divisors, too many to list.")
    return sympy.FiniteSet(*found)


def matrix(value: Any) -> MatrixBase:
    """A matrix that is not too large. Raises ToolError."""
    if not isinstance(value, MatrixBase):
        raise ToolError("This takes a matrix, written as [[1, 2], [3, 4]].")
    if max(value.shape) > _MOST_ROWS:
        raise ToolError(f"A matrix may have at most {_MOST_ROWS} rows and columns.")
    return value


def _of_matrix(make: Callable[[MatrixBase], Any], *, is_square: bool = False) -> Function:
    def made(value: Any) -> Any:
        found = matrix(value)
        if is_square and found.rows != found.cols:
            raise ToolError("This takes a matrix with as many rows as columns.")
        return make(found)

    return Function(1, 1, made)


def _inverse(value: MatrixBase) -> MatrixBase:
    if value.det() == 0:
        raise ToolError("The matrix has no inverse: its determinant is 0.")
    return value.inv()


def _eigenvalues(value: MatrixBase) -> Any:
    return sympy.Tuple(*(sympy.Tuple(root, count) for root, count in sorted_by_size(value.eigenvals())))


def sorted_by_size(found: Mapping[Any, int]) -> list[tuple[Any, int]]:
    """In an order that does not change from one process to the next."""
    return sorted(found.items(), key=lambda entry: sympy.default_sort_key(entry[0]))


def _plain(name: str) -> Function:
    return Function(1, 1, getattr(sympy, name))


FUNCTIONS: Final[Mapping[str, Function]] = {
    **{
        name: _plain(name)
        for name in (
            "sqrt", "cbrt", "exp", "sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan", "acot", "asec",
            "acsc", "sinh", "cosh", "tanh", "coth", "asinh", "acosh", "atanh", "floor", "sign", "re", "im",
            "conjugate", "arg", "erf", "erfc", "Heaviside",
        )
    },
    "arcsin": _plain("asin"),
    "arccos": _plain("acos"),
    "arctan": _plain("atan"),
    "abs": _plain("Abs"),
    "Abs": _plain("Abs"),
    "ceil": _plain("ceiling"),
    "ceiling": _plain("ceiling"),
    "atan2": Function(2, 2, sympy.atan2),
    "root": Function(2, 2, lambda value, degree: power(value, 1 / degree)),
    "pow": Function(2, 2, power),
    "ln": Function(1, 1, sympy.log),
    "log": Function(1, 2, _log),
    "log10": Function(1, 1, lambda value: sympy.log(value, 10)),
    "log2": Function(1, 1, lambda value: sympy.log(value, 2)),
    "rad": Function(1, 1, sympy.rad),
    "round": Function(1, 2, lambda value, digits=sympy.S.Zero: _rounded(value, digits)),
    "min": Function(1, 50, sympy.Min),
    "max": Function(1, 50, sympy.Max),
    "mod": Function(2, 2, _mod),
    "gcd": Function(2, 50, _whole(sympy.gcd, "gcd")),
    "lcm": Function(2, 50, _whole(sympy.lcm, "lcm")),
    "factorial": Function(1, 1, _bounded(sympy.factorial, 1500, "factorial")),
    "gamma": Function(1, 1, _bounded(sympy.gamma, 1500, "gamma")),
    "beta": Function(2, 2, _bounded(sympy.beta, 1000, "beta")),
    "zeta": Function(1, 1, _bounded(sympy.zeta, 500, "zeta")),
    "binomial": Function(2, 2, _bounded(sympy.binomial, 10_000, "binomial")),
    "nCr": Function(2, 2, _bounded(sympy.binomial, 10_000, "nCr")),
    "nPr": Function(2, 2, _bounded(sympy.ff, 1000, "nPr")),
    "fibonacci": Function(1, 1, _bounded(sympy.fibonacci, 15_000, "fibonacci")),
    "prime": Function(1, 1, _bounded(sympy.prime, 100_000, "prime")),
    "isprime": Function(1, 1, _short_integer(lambda value: sympy.sympify(sympy.isprime(value)), 400, "isprime")),
    "nextprime": Function(1, 1, _short_integer(lambda value: Integer(sympy.nextprime(value)), 100, "nextprime")),
    "primefactors": Function(1, 1, _short_integer(_prime_factors, 60, "primefactors")),
    "divisors": Function(1, 1, _short_integer(_divisors, 30, "divisors")),
    "totient": Function(1, 1, _short_integer(sympy.totient, 60, "totient")),
    "det": _of_matrix(lambda value: value.det(), is_square=True),
    "inv": _of_matrix(_inverse, is_square=True),
    "inverse": _of_matrix(_inverse, is_square=True),
    "transpose": _of_matrix(lambda value: value.T),
    "rank": _of_matrix(lambda value: Integer(value.rank())),
    "trace": _of_matrix(lambda value: value.trace(), is_square=True),
    "rref": _of_matrix(lambda value: value.rref()[0]),
    "eigenvalues": _of_matrix(_eigenvalues, is_square=True),
    "norm": _of_matrix(lambda value: value.norm()),
    "dot": Function(2, 2, lambda first, second: matrix(first).dot(matrix(second))),
    "cross": Function(2, 2, lambda first, second: matrix(first).cross(matrix(second))),
}  # fmt: skip

CONSTANTS: Final[Mapping[str, Any]] = {
    "pi": sympy.pi,
    "Pi": sympy.pi,
    "tau": 2 * sympy.pi,
    "e": sympy.E,
    "E": sympy.E,
    "i": sympy.I,
    "I": sympy.I,
    "oo": sympy.oo,
    "inf": sympy.oo,
    "infinity": sympy.oo,
    "deg": sympy.pi / 180,
}


def _rounded(value: Expr, digits: Expr) -> Expr:
    if not value.is_number or not digits.is_Integer or abs(digits) > 50:
        raise ToolError("round takes a number and how many digits to keep behind the point, at most 50.")
    shift = Integer(10) ** digits
    return Rational(sympy.floor(abs(value) * shift + Rational(1, 2)), shift) * sympy.sign(value)
