"""From the way people write mathematics to a Python expression without anything but numbers, names and operators."""

import keyword
import re
from typing import Final

from tool_fn.tool import ToolError

MOST_CHARACTERS: Final = 2000
_MOST_TOKENS: Final = 600
_DEEPEST: Final = 40
# Names that Python keeps for itself, such as lambda, get a name of their own on the way through Python's parser.
ESCAPED: Final = "kept_"

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[^\W\d]\w*)"
    r"|(?P<sign>\*\*|//|==|!=|<=|>=|[-+*/%^()\[\],=<>!]))"
)
_WRITTEN: Final = str.maketrans(
    {
        "×": "*", "∕": "/", "−": "-", "–": "-",  # noqa: RUF001 - these are to be replaced
        "·": "*", "⋅": "*", "∙": "*", "÷": "/", "≤": "<=", "≥": ">=",
        "≠": "!=", "²": "**2", "³": "**3", "⁴": "**4", "π": " pi ", "∞": " oo ", "√": " sqrt ", "τ": " tau ",
        "°": " deg ", "µ": "u", "μ": "u", "Ω": " ohm ", "{": "(", "}": ")",
    }
)  # fmt: skip
_LARGEST_EXPONENT: Final = 4000
# Longer than a letter, and still what people put beside another name for a product.
_SHORT: Final = frozenset({"pi", "oo", "deg", "dx", "sqrt"})


def to_python(text: str, functions: frozenset[str], known: frozenset[str] = frozenset()) -> str:
    """An expression for Python's parser. functions: names that take arguments in parentheses. known: other names that
    have a meaning, even where they are words of Python's.

    Understands 2x, 3(x + 1), x^2, 5!, 15%, 15% of 80, 7 mod 3, √2 and = for ==. Raises ToolError for characters that
    have no meaning, and for what is too long or too deep.
    """
    if not text.strip():
        raise ToolError("The expression is empty.")
    if len(text) > MOST_CHARACTERS:
        raise ToolError(f"The expression is longer than {MOST_CHARACTERS} characters.")
    tokens = _split(text.translate(_WRITTEN))
    for kind, word in tokens:
        if kind == "name" and keyword.iskeyword(word) and word != "lambda" and word not in known:
            raise ToolError(f"{word!r} has no meaning in an expression.")
    return " ".join(_joined(tokens, functions))


def _split(text: str) -> list[tuple[str, str]]:
    """Kind and text of every token."""
    tokens = []
    position, end = 0, len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None:
            rest = text[position:].lstrip()
            raise ToolError(f"{rest[:1]!r} has no meaning in an expression (before {rest[1:20]!r}).")
        kind = found.lastgroup
        assert kind is not None
        tokens.append((kind, found[kind]))
        position = found.end()
    if len(tokens) > _MOST_TOKENS:
        raise ToolError(f"The expression has more than {_MOST_TOKENS} parts.")
    return tokens


def _joined(tokens: list[tuple[str, str]], functions: frozenset[str]) -> list[str]:
    """With the signs that people leave out."""
    out: list[str] = []
    open_at: list[int] = []  # where in `out` each open parenthesis began, with its function's name
    operand_at = 0  # where the operand before begins, for "!" and "%"
    before = ""  # what is just behind us: "", number, name, function or closing
    for number, (kind, text) in enumerate(tokens):
        following = tokens[number + 1] if number + 1 < len(tokens) else ("", "")
        last = tokens[number - 1][1] if number else ""
        if kind == "name" and text == "of" and last == "%":
            out.append("*")
            before = ""
            continue
        if kind == "name" and text == "mod" and following[1] != "(":
            kind, text = "sign", "%"
        if kind == "sign" and text not in ("(", "["):
            before = _sign(out, open_at, operand_at, text, before, following)
            # An operator begins a new operand; what closes one has put its beginning on the stack's place.
            operand_at = open_at.pop() if text in (")", "]") else operand_at if before else len(out)
            continue
        if before == "closing" or (before in ("number", "name") and text != "["):
            _check_product(before, kind, text, last)
            out.append("*")
            before = ""
        if kind == "sign":
            open_at.append(len(out) - (before == "function"))
            if len(open_at) > _DEEPEST:
                raise ToolError("The expression is nested too deeply.")
            out.append(text)
            before = ""
            continue
        if kind == "number":
            _check_number(text)
        if before == "function":
            # "sqrt 2" is the root of what follows; anything longer has to have parentheses.
            operand_at, before = len(out) - 1, "closing"
            out += ["(", _named(text), ")"]
            continue
        operand_at = len(out)
        out.append(_named(text) if kind == "name" else text)
        before = "function" if kind == "name" and text in functions else kind
    return out


def _sign(
    out: list[str], open_at: list[int], operand_at: int, text: str, before: str, following: tuple[str, str]
) -> str:
    """Writes an operator or a closing parenthesis. Returns "closing" behind the end of an operand, "" otherwise."""
    if text in (")", "]"):
        if not open_at:
            raise ToolError(f"There is a {text!r} too many.")
        out.append(text)
        return "closing"
    is_percent = (
        text == "%" and following[1] not in ("(", "-", "+") and (following[0] == "sign" or following[1] in ("", "of"))
    )
    if text == "!" or is_percent:
        if before not in ("number", "name", "closing"):
            raise ToolError(f"{text!r} stands behind a number, a name or a parenthesis.")
        out.insert(operand_at, "factorial(" if text == "!" else "(")
        out.append(")" if text == "!" else "/100)")
        return "closing"
    out.append({"^": "**", "=": "=="}.get(text, text))
    return ""


def _check_product(before: str, kind: str, text: str, last: str) -> None:
    if kind == "number" and before == "number":
        raise ToolError(f"There is no operator between {last} and {text}.")
    if text == "(" and before == "name":
        raise ToolError(f"{last!r} is not a function that is known here. For a product write {last}*(…).")
    words = [word for word in (last, text) if len(word) > 1 and word.isalpha() and word not in _SHORT]
    if len(words) == 2:
        raise ToolError(
            f"There is no operator between {last!r} and {text!r}. Write the expression alone, without words."
        )


def _check_number(text: str) -> None:
    mantissa, _, exponent = text.lower().partition("e")
    if len(mantissa) > 1000 or abs(int(exponent or "0")) > _LARGEST_EXPONENT:
        raise ToolError("A number in the expression is too long.")


def _named(text: str) -> str:
    return ESCAPED + text if keyword.iskeyword(text) else text
