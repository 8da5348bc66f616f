"""Looks into a SQL text: which names stand in it, and which of them are called.

Only Postgres can say what a query does, so this refuses nothing but what it cannot read. The rules of the lexer are
those of the manual's chapter on lexical structure, with standard_conforming_strings on.
"""

import re
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(
    r"""
      (?P<space>      \s+ | --[^\n]* )
    | (?P<unicode>    [uU]&["'] )
    | (?P<escaped>    [eE]'(?:[^'\\]|\\.|'')*' )
    | (?P<string>     (?:[bBxXnN])?'(?:[^']|'')*' )
    | (?P<dollar>     \$(?P<tag>(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?)\$ )
    | (?P<quoted>     "(?:[^"]|"")+" )
    | (?P<name>       [A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]* )
    | (?P<number>     \.?[0-9][0-9A-Za-z_.]* )
    | (?P<parameter>  \$[0-9]+ )
    | (?P<symbol>     [-+*/<>=~!@\#%^&|`?:.,;()\[\]{}] )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
# What a query begins with; it may stand in parentheses.
_QUERIES: Final = frozenset({"select", "with", "values", "table"})


@dataclass(frozen=True, slots=True)
class Statement:
    """One query. `names`: every name in it, as Postgres folds it; `called`: those that an open parenthesis follows."""

    text: str
    names: frozenset[str]
    called: frozenset[str]

    @classmethod
    def read(cls, text: str) -> "Statement":
        """Raises ValueError, a sentence for the model, for what is not one query."""
        text = text.strip().removesuffix(";").rstrip()
        words: list[str] = []  # names as they are, everything else as a sign of its kind
        names: set[str] = set()
        called: set[str] = set()
        last_name = ""
        depth = at = 0
        while at < len(text):
            if text.startswith("/*", at):
                at = _comment_end(text, at)
                continue
            found = _TOKEN.match(text, at)
            if found is None:
                raise ValueError(f"The statement cannot be read from here on: {text[at : at + 20]!r}")
            kind, sign, at = found.lastgroup or "", found[0], found.end()
            if kind == "tag":
                kind = "dollar"
            if kind == "unicode":
                raise ValueError("Names and strings with U& are not taken: write the characters themselves.")
            if kind == "dollar":
                end = text.find(sign, at)
                if end < 0:
                    raise ValueError("A dollar-quoted string does not end.")
                at = end + len(sign)
            if kind == "symbol" and sign == ";":
                raise ValueError("Only one statement at a time is taken.")
            if kind in ("name", "quoted"):
                last_name = sign.lower() if kind == "name" else sign[1:-1].replace('""', '"')
                names.add(last_name)
                words.append(last_name if kind == "name" else "")
            elif kind != "space":
                if sign == "(" and last_name:
                    called.add(last_name)
                depth += (sign == "(") - (sign == ")")
                if depth < 0:
                    raise ValueError("A parenthesis closes that was not opened.")
                last_name = ""
                words.append(sign)
        first = next((word for word in words if word != "("), "")
        if first not in _QUERIES:
            raise ValueError("Only queries are taken: a statement that begins with SELECT, WITH, VALUES or TABLE.")
        return cls(text, frozenset(names), frozenset(called))


def _comment_end(text: str, begin: int) -> int:
    """Comments nest."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, begin):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    raise ValueError("A comment does not end.")
