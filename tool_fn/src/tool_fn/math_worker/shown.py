"""Results as text: exact, and as decimal numbers."""

from typing import Any, Final

import sympy
from sympy import Expr, Integer, MatrixBase

from tool_fn.math_worker.functions import MOST_DIGITS
from tool_fn.math_worker.patience import OutOfPatience, at_most
from tool_fn.tool import ToolError

_LONGEST: Final = 8000
_DIGITS: Final = 15
_SIMPLIFY_S: Final = 0.5


def exact(value: Any) -> str:
    """The value as SymPy writes it. Raises ToolError for one that is too long to be of use."""
    if isinstance(value, MatrixBase):
        return "[" + ", ".join(f"[{', '.join(map(exact, value.row(row)))}]" for row in range(value.rows)) + "]"
    if value in (sympy.zoo, sympy.nan):
        return "undefined"
    if isinstance(value, sympy.Basic):
        for number in value.atoms(sympy.Rational):
            digits = max(abs(number.p), number.q).bit_length() * 0.30103
            if digits > MOST_DIGITS:
                raise ToolError(
                    f"The result holds a number of about {digits:.0f} digits, more than the {MOST_DIGITS} that are "
                    "written out. Ask for its logarithm, or for something smaller."
                )
    text: str = sympy.sstr(value)
    if len(text) > _LONGEST:
        raise ToolError(f"The result is too long ({len(text)} characters). Ask for something smaller.")
    return text


def numeric(value: Any) -> str | None:
    """About 15 digits of a number; None for what is none, and where there is nothing to add to the exact form."""
    if not isinstance(value, Expr) or value.free_symbols or value in (sympy.oo, -sympy.oo, sympy.zoo, sympy.nan):
        return None
    if isinstance(value, Integer) and abs(value.p) < 10**18:
        return None
    found = sympy.N(value, _DIGITS, chop=True)
    real, imaginary = found.as_real_imag()
    if not real.is_Number or not imaginary.is_Number:
        return None
    if imaginary != 0 and all(part.is_Integer for part in value.as_real_imag()):
        return None
    parts = [decimal(real)] if real != 0 or imaginary == 0 else []
    if imaginary != 0:
        parts.append(f"{decimal(imaginary)}*I")
    return " + ".join(parts).replace("+ -", "- ")


def both(value: Any) -> str:
    """ "1/3 ≈ 0.333333333333333" """
    text, about = exact(value), numeric(value)
    return text if about is None or about == text else f"{text} ≈ {about}"


def short(value: Any) -> str:
    """Digits where there are some to add to the exact form, else that."""
    return numeric(value) or exact(value)


def simplified(value: Any) -> Any:
    """A simpler form, if one is found soon; the value as it is otherwise."""
    if not isinstance(value, Expr) or value.is_Rational:
        return value
    try:
        with at_most(_SIMPLIFY_S):
            simpler = sympy.simplify(value)
    except (OutOfPatience, NotImplementedError, TypeError, ValueError, AttributeError):
        return value
    return simpler if simpler.count_ops() <= value.count_ops() else value


def decimal(value: Any) -> str:
    """A decimal number without zeros at its end."""
    text: str = sympy.sstr(value)
    mantissa, sign, exponent = text.partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return mantissa + sign + exponent
