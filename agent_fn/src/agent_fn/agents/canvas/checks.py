"""Looks whether an artifact is what its media type says. What is wrong is told to the model, never refused."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import orjson

from agent_fn.agents.artifacts import Artifact

_MOST_PROBLEMS: Final = 3
_VOID: Final = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
)
# HTML lets these end without an end tag.
_OPTIONAL_END: Final = frozenset(
    (
        *("html", "head", "body", "p", "li", "dt", "dd", "option", "optgroup", "colgroup", "caption"),
        *("thead", "tbody", "tfoot", "tr", "td", "th", "rb", "rt", "rtc", "rp"),
    )
)
_RAW: Final = frozenset(("script", "style", "textarea", "title"))
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]*)")
_REST_OF_TAG: Final = re.compile(r"""[^"'>]*+(?:(?:"[^"]*+"|'[^']*+')[^"'>]*+)*+>""")


def problems(artifact: Artifact) -> list[str]:
    """Sentences about what is wrong with the content, at most three; empty for other media types."""
    check = _CHECKS.get(artifact.media_type)
    return check(artifact.content)[:_MOST_PROBLEMS] if check is not None and artifact.content.strip() else []


def _json(content: str) -> list[str]:
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return [f"It is not valid JSON: {error.msg}, in line {error.lineno}, column {error.colno}."]
    return []


def _csv(content: str) -> list[str]:
    found: list[str] = []
    # The limit of a field's size is the process's; content is shorter than that limit in any case but one field of it
    # all, which is told as an error.
    rows = csv.reader(content.splitlines(keepends=True), strict=True)
    columns = 0
    try:
        for row in rows:
            if not row:
                continue
            columns = columns or len(row)
            if len(row) != columns:
                found.append(f"Line {rows.line_num} has {_fields(len(row))}, the first row has {columns}.")
    except csv.Error as error:
        found.append(f"It is not valid CSV: {error}, near line {rows.line_num}.")
    return found


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def _html(content: str) -> list[str]:
    """Follows which elements are open. By hand, because html.parser takes minutes for some texts of 256 KiB."""
    nesting = _Nesting()
    at = 0
    while len(nesting.found) < _MOST_PROBLEMS and (at := content.find("<", at)) >= 0:
        end = _end_of_markup(content, at)
        if end < 0:
            nesting.found.append(
                f"Line {_line_at(content, at)}: what begins with {content[at : at + 20]!r} never ends."
            )
            return nesting.found
        if tag := _TAG.match(content, at):
            name = tag[2].lower()
            if tag[1]:
                nesting.close(name, content, at)
            elif content[end - 2] != "/":
                nesting.open(name, at)
                if name in _RAW:
                    end = _end_of_raw(content, name, end)
        at = end
    nesting.end(content)
    return nesting.found


def _end_of_markup(content: str, at: int) -> int:
    """Behind the tag, comment or declaration at `at`; -1 where it has no end."""
    if content.startswith("<!--", at):
        end = content.find("-->", at + 4)
        return end + 3 if end >= 0 else -1
    if not content.startswith(("<!", "<?"), at) and not _TAG.match(content, at):
        return at + 1  # a bare < is text
    rest = _REST_OF_TAG.match(content, at)
    return rest.end() if rest else -1


def _end_of_raw(content: str, name: str, at: int) -> int:
    """Where the end tag of an element begins whose content is no markup."""
    end = re.compile(f"</{name}\\b", re.IGNORECASE).search(content, at)
    return end.start() if end else len(content)


class _Nesting:
    """The elements that are open, the innermost last."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._open: list[tuple[str, int]] = []
        self._count: Counter[str] = Counter()

    def open(self, name: str, at: int) -> None:
        if name not in _VOID:
            self._open.append((name, at))
            self._count[name] += 1

    def close(self, name: str, content: str, at: int) -> None:
        if not self._count[name]:
            if name not in _VOID and name != "p":  # </p> alone is an empty paragraph
                self.found.append(f"Line {_line_at(content, at)}: </{name}> closes nothing.")
            return
        while True:
            inner, begun = self._open.pop()
            self._count[inner] -= 1
            if inner == name:
                return
            if inner not in _OPTIONAL_END and len(self.found) < _MOST_PROBLEMS:
                self.found.append(f"Line {_line_at(content, begun)}: <{inner}> is not closed before </{name}>.")

    def end(self, content: str) -> None:
        """Says what was never closed."""
        never = [(name, at) for name, at in self._open if name not in _OPTIONAL_END]
        self.found += [
            f"Line {_line_at(content, at)}: <{name}> is never closed." for name, at in never[:_MOST_PROBLEMS]
        ]


def _line_at(content: str, place: int) -> int:
    return content.count("\n", 0, place) + 1


_CHECKS: Final[Mapping[str, Callable[[str], list[str]]]] = {
    "application/json": _json,
    "text/csv": _csv,
    "text/html": _html,
}
