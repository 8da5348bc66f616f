"""Finds the mathematics in a sentence: an expression as it is written, or in words."""

from __future__ import annotations

import re

from devstack.model_server.understanding.intents import DATE, URL
from devstack.model_server.understanding.parts import reference_in

_NUMBER = r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_FUNCTION = (
    r"(?:sin|cos|tan|cot|sec|csc|asin|acos|atan|sinh|cosh|tanh|sqrt|cbrt|log|ln|exp|abs|pi|factorial|gcd|lcm|floor|ceil"
    r"|gamma|isprime|oo|inf)"
)
_TOKEN = re.compile(
    rf"(?P<blank>\s+)|(?P<number>{_NUMBER})|(?P<name>{_FUNCTION}|[a-zA-Z](?:_?\d)?)(?![^\W\d_])"
    r"|(?P<open>\()|(?P<close>\))|(?P<operator>\*\*|[<>!=]=|[-+*/^=%,;!<>])|(?P<other>[^\W_]+(?:['\u2019]\w+)?|.)",
    re.DOTALL,
)
_WORDS = (
    (r"\bto the power of\b", "**"),
    (r"\bsquared\b", "**2"),
    (r"\bcubed\b", "**3"),
    (r"(?<=[\d)\w]) plus (?=[\d(\w])", " + "),
    (r"(?<=[\d)\w]) minus (?=[\d(\w])", " - "),
    (r"(?<=[\d)]) times (?=[\d(\w])", " * "),
    (r"\bmultiplied by\b", "*"),
    (r"\bdivided by\b", "/"),
    (r"(\d+(?:\.\d+)?) ?(?:%|percent|per cent) of (?=[\d(])", r"\1/100 * "),
    (r"\bsquare root of ([\d.]+|\([^)]*\))", r"sqrt(\1)"),
    (r"\bcube root of ([\d.]+|\([^)]*\))", r"cbrt(\1)"),
    (r"\bfactorial of (\d+)", r"factorial(\1)"),
    (r"\b(\d+) factorial\b", r"factorial(\1)"),
    (r"\bis (\d+) (?:an? )?prime(?: number)?\b", r"isprime(\1)"),
    (r"\bsquare of ([\d.]+)", r"\1**2"),
)
_OBJECT = r"(?P<it>[-\d.]+)"
_ORDERS = (
    (rf"\badd (?P<n>[-\d.]+) to {_OBJECT}", "{it} + {n}"),
    (rf"\badd {_OBJECT} (?:and|to) (?P<n>[-\d.]+)", "{it} + {n}"),
    (rf"\bsubtract (?P<n>[-\d.]+) from {_OBJECT}", "{it} - {n}"),
    (rf"\bmultiply {_OBJECT} (?:by|with|and) (?P<n>[-\d.]+)", "{it} * {n}"),
    (rf"\bdivide {_OBJECT} by (?P<n>[-\d.]+)", "{it} / {n}"),
    (rf"\bdouble {_OBJECT}", "{it} * 2"),
    (rf"\btriple {_OBJECT}", "{it} * 3"),
    (rf"\b(?:halve|half of) {_OBJECT}", "{it} / 2"),
    (rf"\bsquare {_OBJECT}", "{it}**2"),
)
_SERIES = re.compile(
    rf"\b(?P<kind>sum|total|product|average|mean) of (?P<all>(?:{_NUMBER})(?:\s*(?:,|and|, and)\s*(?:{_NUMBER}))+)",
    re.IGNORECASE,
)
_CONVERSION = re.compile(
    r"\bconvert (?P<from>-?\d[\d.,]*\s?\S+(?: per \w+)?) (?:to|into|in) (?P<to>[^\W\d][^\s?,;!]*?)[.?!]?(?:\s|$)",
    re.IGNORECASE,
)
_SIGNS = str.maketrans({"\u2212": "-", "\u00d7": "*", "\u00b7": "*", "\u00f7": "/"})
_QUOTED = re.compile(r"[`“\"]([^`“”\"\n]{1,300})[`”\"]")
_MATTERS = re.compile(r"[\d+*/^=]|\b[xyz]\b")


def expression_in(text: str, value: str = "") -> str:
    """The expression that `text` speaks of, "" if none; `value` takes the place of "the result", "it"."""
    text = URL.sub(" ", DATE.sub(" ", text))
    for found in _QUOTED.finditer(text):
        if _longest(found.group(1)) == found.group(1).strip() and _MATTERS.search(found.group(1)):
            return found.group(1).strip()
    text = text.translate(_SIGNS)
    if value and (place := reference_in(text)):
        text = text[: place.start()] + value + text[place.end() :]
    if conversion := _CONVERSION.search(text):
        return conversion["from"]
    if series := _SERIES.search(text):
        return _series(series)
    for pattern, replacement in _WORDS:
        text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
    for pattern, form in _ORDERS:
        if ordered := re.search(pattern, text, re.IGNORECASE):
            return form.format(**{name: said.rstrip(".") for name, said in ordered.groupdict().items()})
    return _longest(text)


def unit_in(text: str) -> str:
    """The unit that `text` wants something converted to, "" if none."""
    found = _CONVERSION.search(text)
    return found["to"] if found else ""


def unspelled(text: str) -> str:
    """`text` without the words that only spell out an expression, such as "the sum of 3 and 4"."""
    return _SERIES.sub(" ", text)


def _series(found: re.Match[str]) -> str:
    numbers = re.findall(_NUMBER, found.group("all"))
    kind = found.group("kind").lower()
    joined = (" * " if kind == "product" else " + ").join(numbers)
    return f"({joined}) / {len(numbers)}" if kind in ("average", "mean") else joined


def _longest(text: str) -> str:
    """The longest stretch of `text` that reads as mathematics."""
    best = ""
    run: list[tuple[str, str]] = []
    for found in [*_TOKEN.finditer(text), None]:
        kind = str(found.lastgroup) if found else "other"
        said = found.group() if found else ""
        if kind != "other" and not _parted(run, kind, said):
            run.append((kind, said))
            continue
        best = max(best, _trimmed(run), key=_weight)
        run = [(kind, said)] if kind in ("number", "name", "open") or said in "+-" else []
    return best


def _parted(run: list[tuple[str, str]], kind: str, said: str) -> bool:
    """Whether this said begins another stretch: two values with nothing but a blank between them."""
    if kind not in ("number", "name", "open") or len(run) < 2 or run[-1][0] != "blank":
        return False
    before = run[-2][0]
    return before in ("number", "close", "name") and said != "("


def _trimmed(run: list[tuple[str, str]]) -> str:
    while run and (run[-1][0] == "blank" or run[-1][1] in "+-*/^=,;(<>" or _is_article(run, -1)):
        run.pop()
    while run and (run[0][0] == "blank" or run[0][1] in "*/^=,;)!%<>" or _is_article(run, 0)):
        run.pop(0)
    text = "".join(said for _, said in run)
    for _ in range(text.count(")") - text.count("(")):
        text = text[: text.rindex(")")].rstrip() if text.endswith(")") else text
    return text.replace(",", "") if re.fullmatch(_NUMBER, text) else text


def _is_article(run: list[tuple[str, str]], at: int) -> bool:
    """A letter that stands alone at an end is a word, unless it is the usual name of an unknown."""
    if run[at][0] != "name" or run[at][1] in "xyzn":
        return False
    neighbour = run[at - 1 if at else 1] if len(run) > 1 else ("blank", "")
    return neighbour[0] == "blank" and not (len(run) > 2 and run[at - 2 if at else 2][0] == "operator")


def _weight(text: str) -> int:
    """How much mathematics there is: a lone number is less than anything with an operation."""
    if not text:
        return 0
    return len(text) + 100 * bool(re.search(r"[-+*/^=(]", text.lstrip("-"))) - 50 * (len(text) == 1 and text.isalpha())
