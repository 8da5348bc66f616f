"""Finds what arguments are called in a text: addresses, code, tables, columns, places, replacements."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson

from devstack.model_server.understanding.compositions import composition
from devstack.model_server.understanding.concepts import concepts, name_words
from devstack.model_server.understanding.earlier import value_of
from devstack.model_server.understanding.expressions import expression_in, unit_in
from devstack.model_server.understanding.intents import DATE, EMAIL, FENCE, URL, intents_of
from devstack.model_server.understanding.parts import reference_in
from devstack.model_server.understanding.shielding import Shielded, bracketed
from devstack.model_server.understanding.tables import header_of, table_spans
from devstack.model_server.words import words

if TYPE_CHECKING:
    from devstack.model_server.understanding.sayings import Sayings

ARTIFACT = re.compile(r"\bart_[0-9A-Za-z]{6,}")
QUOTED = re.compile(r"[\"“`]([^\"”`\n]{1,500})[\"”`](?!\w)|(?<!\w)'([^'\n]{1,200})'(?!\w)")
PROPER = re.compile(r"(?<![.!?:] )(?<!^)\b([A-ZÀ-Þ][\w'\u2019-]+(?: [A-ZÀ-Þ][\w'\u2019-]+)*)")
PLACE = re.compile(r"\b(?:in|at|near|from|to|for|of|around|about) ([A-ZÀ-Þ][\w'\u2019-]+(?:,? [A-ZÀ-Þ][\w'\u2019-]+)*)")
_SQL = re.compile(r"\b(?:select|with)\b.+", re.IGNORECASE | re.DOTALL)
_INLINE_CODE = re.compile(
    r"\b(?:code|script|program|python|snippet|this|following)\s*:\s*(.+)", re.IGNORECASE | re.DOTALL
)
_VARIABLE = re.compile(
    r"\b(?:(?:with respect to|for|in terms of) ([a-z])\b(?! [a-z]{3,})|as ([a-z]) (?:approaches|goes|tends|->))"
)
_APPROACHES = re.compile(
    r"\b(?:approaches|goes to|tends to|->|→|at) (-?(?:\d+(?:\.\d+)?|oo|infinity|∞|pi))", re.IGNORECASE
)
_RANGE = re.compile(r"\b(?:from|between) (-?[\w.]+) (?:to|and) (-?[\w.]+)", re.IGNORECASE)
_REPLACE = re.compile(
    r"\b(?:replace|change|rename|turn|correct|fix|edit|update)\b(?: the)?"
    r"(?: (?:word|title|name|line|text|heading|value))?"
    r" (?P<old>.+?) (?:with|by|to|into) (?P<new>.+?)(?: (?:in|on|of) (?:the|it|that|my|this)\b.*)?[.!]?$",
    re.IGNORECASE | re.DOTALL,
)
_LINES = re.compile(r"\blines? \d+\b", re.IGNORECASE)
_LANGUAGES = {"german": "de", "french": "fr", "spanish": "es", "italian": "it", "english": "en", "dutch": "nl"}


def _url(said: Sayings, text: str, name: str) -> str:
    found = URL.search(text)
    return found.group().rstrip(".,;:!?") if found else ""


def _email(said: Sayings, text: str, name: str) -> str:
    found = EMAIL.search(text)
    return found.group() if found else ""


def _date(said: Sayings, text: str, name: str) -> str:
    found = DATE.search(text)
    return found.group() if found else ""


def _expression(said: Sayings, text: str, name: str) -> str:
    value = value_of(said.results[-1], text) if said.results else ""
    return expression_in(text, value)


def _code(said: Sayings, text: str, name: str) -> str:
    if fence := FENCE.search(text):
        return fence.group(1).strip("\n")
    if inline := re.search(r"`([^`\n]+)`", text):
        return inline.group(1)
    if said_so := _INLINE_CODE.search(text):
        return said_so.group(1).strip()
    expression = expression_in(text, value_of(said.results[-1], text) if said.results else "")
    return f"print({expression.replace('^', '**')})" if expression else ""


def _sql(said: Sayings, text: str, name: str) -> str:
    if fence := FENCE.search(text):
        return fence.group(1).strip("\n")
    found = _SQL.search(text)
    return found.group().strip(' `"“”') if found else ""


def json_in(text: str) -> str:
    """The longest JSON object or array in `text`, "" if there is none."""
    best = ""
    for start, end in bracketed(text):
        if end - start > len(best):
            try:
                orjson.loads(text[start:end])
            except orjson.JSONDecodeError:
                continue
            best = text[start:end]
    return best


def _text(said: Sayings, text: str, name: str) -> str:
    """A body that is no JSON: what stands in quotation marks, or what has been found out."""
    if _json(said, text, name):
        return ""
    if quoted := QUOTED.search(URL.sub(" ", text)):
        return quoted.group(1) or quoted.group(2)
    if said.results and reference_in(said.text):
        return "\n\n".join(result.content for result in said.results if not result.failed)
    return ""


def _json(said: Sayings, text: str, name: str) -> str:
    return json_in(FENCE.sub(lambda found: found.group(1), text))


def _data(said: Sayings, text: str, name: str) -> str:
    spans = table_spans(text)
    if spans:
        start, end = spans[0]
        return text[start:end].strip("\n")
    if found := _json(said, text, name):
        return found
    fence = FENCE.search(text)
    return fence.group(1).strip("\n") if fence else ""


def _column(said: Sayings, text: str, name: str) -> str:
    """A column of the data that the request names; for `group_by` the one behind "per" or "by"."""
    table = _data(said, said.whole, name)
    columns = header_of(table) if table else []
    if not columns or table.lstrip().startswith(("{", "[")):
        columns = list(dict.fromkeys(re.findall(r"\"([\w ]+)\"\s*:", table)))
    shown = Shielded(text).text
    places = {
        column: found.start()
        for column in columns
        if (found := re.search(rf"\b{re.escape(column)}s?\b", shown, re.IGNORECASE))
    }
    if not places:
        return ""
    ordered = sorted(places, key=lambda column: places[column])
    by = re.search(r"\b(?:per|by|for each|grouped by|group by|each)\b", shown, re.IGNORECASE)
    behind = [column for column in ordered if by and places[column] >= by.end()]
    if "group" in name or name in ("by", "per", "key"):
        return behind[0] if behind else ""
    return next((column for column in ordered if column not in behind), ordered[0])


def find_place(said: Sayings, text: str, name: str) -> str:
    found = PLACE.search(text) or PROPER.search(text)
    return found.group(1).rstrip("'\u2019") if found else ""


def _language(said: Sayings, text: str, name: str) -> str:
    return next((code for word, code in _LANGUAGES.items() if re.search(rf"\b{word}\b", text, re.IGNORECASE)), "")


def _variable(said: Sayings, text: str, name: str) -> str:
    found = _VARIABLE.search(text)
    if both := re.search(r"\bfor ([a-z])(?:, | and )([a-z])\b(?! [a-z])", text):
        return f"{both[1]}, {both[2]}"
    if over := re.search(r"\bfor ([a-z]) from\b", text):
        return over[1]
    return found.group(1) or found.group(2) if found else ""


def _point(said: Sayings, text: str, name: str) -> str:
    found = _APPROACHES.search(text)
    return found.group(1).replace("infinity", "oo").replace("∞", "oo") if found else ""


def _unit(said: Sayings, text: str, name: str) -> str:
    return unit_in(text)


def _bound(said: Sayings, text: str, name: str) -> str:
    found = _RANGE.search(text)
    if not found:
        return ""
    return found.group(1 if {"lower", "from", "start", "low", "begin"} & set(words(name_words(name))) else 2).rstrip(
        "."
    )


def _old(said: Sayings, text: str, name: str) -> str:
    return "" if _LINES.search(text) else _replacement(text)[0]


def _new(said: Sayings, text: str, name: str) -> str:
    return _replacement(text)[1]


def _replacement(text: str) -> tuple[str, str]:
    """What is to be replaced and by what: two quotations, or the words around "with" or "to"."""
    quoted = [first or second for first, second in QUOTED.findall(text)]
    if len(quoted) > 1:
        return quoted[0], quoted[1]
    found = _REPLACE.search(text.strip())
    if not found:
        return "", ""
    return found.group("old").strip(" \"'“”`"), found.group("new").strip(" \"'“”`")


def _content(said: Sayings, text: str, name: str) -> str:
    if "artifact" not in intents_of(said.text):
        return ""
    return composition(said.text, [result.content for result in said.results if not result.failed]).content


def _title(said: Sayings, text: str, name: str) -> str:
    return composition(said.text).title if "artifact" in intents_of(said.text) else said.subject()


def _media_type(said: Sayings, text: str, name: str) -> str:
    return composition(said.text).media_type if "artifact" in intents_of(said.text) else ""


def find_artifact(said: Sayings, text: str, name: str) -> str:
    """The artifact whose title the request names, else the one that was spoken of last."""
    known: list[str] = ARTIFACT.findall(said.around)
    named = [identity for identity in known if _titled(said, identity)]
    return (named or known or [""])[-1]


def _titled(said: Sayings, identity: str) -> bool:
    """Whether the request shares a word with the line that shows the artifact."""
    line = next((line for line in said.around.splitlines() if identity in line), "").replace(identity, " ")
    return bool(concepts(said.text) & (concepts(line) - concepts("artifact version lines text markdown title")))


def _subject(said: Sayings, text: str, name: str) -> str:
    return said.subject()


PLACES = frozenset({"city", "location", "place", "country", "town", "region", "address", "destination", "origin"})
_Find = Callable[["Sayings", str, str], str]
FINDERS: tuple[tuple[frozenset[str], _Find], ...] = (
    (frozenset({"artifact"}), find_artifact),
    (frozenset({"media", "mime"}), _media_type),
    (frozenset({"content"}), _content),
    (frozenset({"title"}), _title),
    (frozenset({"url", "uri", "link", "href", "endpoint"}), _url),
    (frozenset({"email", "mail"}), _email),
    (frozenset({"date", "day", "since", "until"}), _date),
    (frozenset({"expression", "formula", "calculation", "equation"}), _expression),
    (frozenset({"code", "script", "program", "source"}), _code),
    (frozenset({"sql", "statement"}), _sql),
    (frozenset({"body", "json", "payload"}), _json),
    (frozenset({"text", "body", "message"}), _text),
    (frozenset({"data", "csv", "table", "rows", "dataset"}), _data),
    (frozenset({"column", "columns", "field", "by", "group", "per", "key"}), _column),
    (PLACES, find_place),
    (frozenset({"language", "lang"}), _language),
    (frozenset({"variable", "symbol"}), _variable),
    (frozenset({"point", "approaches", "at"}), _point),
    (frozenset({"to"}), _unit),
    (frozenset({"lower", "upper", "low", "high"}), _bound),
    (frozenset({"old", "find", "original", "before", "target"}), _old),
    (frozenset({"new", "replace", "replacement", "after"}), _new),
    (frozenset({"query", "question", "search", "topic", "q", "term"}), _subject),
)
