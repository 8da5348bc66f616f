"""Words that mean the same here, so that `derivative` meets `differentiate` and `mails` meets `e-mail`."""

from __future__ import annotations

import functools
import re

from devstack.model_server.words import stem, words

_GROUPS = (
    "differentiate derivative derive diff slope",
    "integrate integral antiderivative",
    "solve root roots zero zeros solution solutions solutions equation equations",
    "simplify reduce",
    "expand",
    "factor factorise factorize factorisation factorization",
    "limit approaches",
    "evaluate evaluation calculate calculation calculator compute computation arithmetic math mathematics maths",
    "mean average averages avg",
    "sum total",
    "count many counts",
    "minimum min lowest smallest least cheapest",
    "maximum max highest largest biggest most greatest",
    "median",
    "quantile quantiles percentile percentiles",
    "group grouped grouping per",
    "describe summary summarise summarize overview statistics stats",
    "missing empty null nulls",
    "forecast tomorrow outlook",
    "current currently now today",
    "celsius metric",
    "fahrenheit imperial",
    "find lookup look search get fetch retrieve",
    "create write draft make generate compose produce new prepare",
    "edit change update modify replace rename revise correct",
    "delete remove drop",
    "send post submit",
    "list all every",
    "email mail mails emails",
    "python py",
    "markdown md",
    "html webpage website",
    "json",
    "csv spreadsheet",
    "document documents doc docs file files",
    "picture image photo",
    "weather temperature",
    "user users person people customer customers account accounts",
    "item items product products article",
    "order orders purchase purchases",
)
_CONCEPT = {stem(word): f"={group.split()[0]}" for group in _GROUPS for word in group.split()}
_ALWAYS_SMALL = frozenset(
    words(
        "a about an and are as at be but by can could did do does for from had has have he her here him his how i if "
        "in into is it its let me my of on or our please she should so some such tell than that the their them then "
        "there these they this those to us was we were what when where which who why will with would you your"
    )
)
_SHORT = 1000
_BOUNDARY = re.compile(r"(?<=[a-z])(?=[A-Z])|[_\-./:]+")


def concepts(text: str) -> frozenset[str]:
    """What the words of `text` stand for; small words stand for nothing."""
    return _remembered(text) if len(text) <= _SHORT else _concepts(text)


def _concepts(text: str) -> frozenset[str]:
    return frozenset(
        _CONCEPT.get(found := stem(word), found) for word in words(text) if word not in _ALWAYS_SMALL and len(word) > 1
    )


_remembered = functools.lru_cache(maxsize=4096)(_concepts)


def name_words(name: str) -> str:
    """`getUser_byEmail` as separate words."""
    return _BOUNDARY.sub(" ", name)


@functools.lru_cache(maxsize=1024)
def name_concepts(name: str) -> frozenset[str]:
    """What the parts of an identifier stand for."""
    return concepts(name_words(name))
