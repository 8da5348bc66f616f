"""Writes the documents that requests ask for: skeletons made of the request's own words, and what tools have found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from devstack.model_server.words import STOP_WORDS, topic_words, words

_KINDS = (
    ("text/html", r"\b(?:html|web ?page|website|landing page)\b"),
    ("text/csv", r"\b(?:csv|spreadsheet)\b"),
    ("application/json", r"\bjson\b"),
    ("text/javascript", r"\b(?:javascript|js)\b"),
    ("text/x-python", r"\b(?:python|function|script|program|class|module|code)\b"),
    ("text/markdown", ""),
)
_TITLE = re.compile(
    r"\b(?:called|titled|named|entitled|with the title) (?:[\"“'`]([^\"”'`\n]+)[\"”'`]|([A-Z][\w-]*))", re.IGNORECASE
)
_ITEMS = re.compile(
    r"\b(?:for|of|with(?: the)?(?: columns?| items?| fields?| keys?| points?)?|about|containing|columns?|items?)[:]? "
    r"((?:[\w' -]+, )+(?:and )?[\w' -]+|[\w'-]+(?: [\w'-]+)? and [\w'-]+(?: [\w'-]+)?)",
    re.IGNORECASE,
)
_ASKING = frozenset(
    words(
        "write create draft make build generate compose produce design prepare implement code function script program "
        "python javascript markdown html csv json document file page called titled named title table list new artifact "
        "columns column items item fields one small short simple brief result results report"
    )
)
_NOTE = "Written by a development model: a skeleton made of the words of the request."


@dataclass(frozen=True, slots=True)
class Composition:
    """A document. `media_type` is one of those in _KINDS."""

    title: str
    media_type: str
    content: str


def composition(request: str, found: Sequence[str] = ()) -> Composition:
    """The document that `request` asks for; `found` is what tools have given and belongs into it."""
    media_type = next(kind for kind, pattern in _KINDS if re.search(pattern, request, re.IGNORECASE))
    named = _TITLE.search(request)
    topics = [word for word in topic_words(request) if word.lower() not in _ASKING and not word.isdigit()][:6]
    title = (named.group(1) or named.group(2)) if named else " ".join(topics[:5]).capitalize() or "Untitled"
    listed = _ITEMS.search(_TITLE.sub(" ", request))
    items = re.split(r",? and |, ", listed.group(1).strip(" .!?")) if listed else topics
    items = [item.strip().removeprefix("and ").removeprefix("the ") for item in items if item.strip()]
    return Composition(title, media_type, _WRITERS[media_type](title, items or ["nothing"], list(found)))


def _markdown(title: str, items: list[str], found: list[str]) -> str:
    lines = [f"# {title}", "", *(f"- {item}" for item in items)]
    if found:
        lines += ["", "## Findings", "", *(f"- {' '.join(text.split())}" for text in found)]
    return "\n".join([*lines, "", f"_{_NOTE}_", ""])


def _html(title: str, items: list[str], found: list[str]) -> str:
    shown = [text.replace("&", "&amp;").replace("<", "&lt;") for text in (*items, *found)]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            f"<head><title>{title}</title></head>",
            "<body>",
            f"  <h1>{title}</h1>",
            "  <ul>",
            *(f"    <li>{' '.join(text.split())}</li>" for text in shown),
            "  </ul>",
            f"  <!-- {_NOTE} -->",
            "</body>",
            "</html>",
            "",
        ]
    )


def _csv(title: str, items: list[str], found: list[str]) -> str:
    rows = [items, *([f"{item} {number}" for item in items] for number in (1, 2))]
    return "\n".join(",".join(row) for row in rows) + "\n"


def _json(title: str, items: list[str], found: list[str]) -> str:
    value = {"title": title, "items": items, **({"findings": found} if found else {}), "note": _NOTE}
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n"


def _python(title: str, items: list[str], found: list[str]) -> str:
    return (
        f'"""{title}. {_NOTE}"""\n\n\n'
        f"def {_identifier(title)}(*values):\n"
        f'    """{title}."""\n'
        "    return list(values)\n\n\n"
        f"print({_identifier(title)}({', '.join(repr(item) for item in items)}))\n"
    )


def _javascript(title: str, items: list[str], found: list[str]) -> str:
    name = _identifier(title)
    return (
        f"// {title}. {_NOTE}\n"
        f"function {name}(...values) {{\n  return values;\n}}\n\n"
        f"console.log({name}({', '.join(orjson.dumps(item).decode() for item in items)}));\n"
    )


def _identifier(title: str) -> str:
    parts = [word for word in words(title) if word not in STOP_WORDS and word.isascii()][:4]
    name = "_".join(parts) or "answer"
    return name if name[0].isalpha() else f"f_{name}"


_WRITERS = {
    "text/html": _html,
    "text/csv": _csv,
    "application/json": _json,
    "text/javascript": _javascript,
    "text/x-python": _python,
    "text/markdown": _markdown,
}
