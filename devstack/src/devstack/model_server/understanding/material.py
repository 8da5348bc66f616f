"""Reads what a prompt carries besides the request: tools that it lists, results that it reports, sections."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import orjson

from devstack.model_server.understanding.earlier import Result
from devstack.model_server.understanding.offers import Offer
from devstack.model_server.understanding.shielding import bracketed

_LISTED = re.compile(
    r"^[ \t]*(?:[-*•]|\d+[.)])[ \t]+[`*]*(?P<name>[A-Za-z][\w.-]*)[`*]*[ \t]*(?::|—)[ \t]+(?P<rest>.+)$", re.MULTILINE
)
_ARGUMENTS = re.compile(r"\b(?:arguments|parameters|inputs?): (\w+(?:, \w+)*)\.?\s*$", re.IGNORECASE)
_STATUS = r"(?P<status>done|failed|skipped|pending|running|ok|success(?:ful)?|error|missing)"
_NOTED = re.compile(
    rf"^[-*•] (?P<task>.+?)(?: \((?P<tool>[\w.-]+)\))? (?:—|->) {_STATUS}\b(?:: (?P<why>.*))?$", re.MULTILINE
)
_HEADING = re.compile(r"^[^\n]{1,120}:[ \t]*$", re.MULTILINE)
_BULLET = re.compile(r"^\s*[-*•]\s+(.+)$", re.MULTILINE)
_BAD = frozenset({"failed", "error", "skipped", "missing"})
_OPEN = frozenset({"pending", "running"})


@dataclass(frozen=True, slots=True)
class Noted:
    """One entry of a list of what was done: "- task (tool) — status", and the text below it."""

    task: str
    tool: str
    status: str
    text: str

    @property
    def failed(self) -> bool:
        """Whether it ended in an error."""
        return self.status in _BAD

    @property
    def is_idle(self) -> bool:
        """Whether it brought nothing: it failed, or found nothing."""
        return self.failed or self.result.is_empty

    @property
    def result(self) -> Result:
        """The entry as the result of a call."""
        text = self.text or self.status
        return Result(self.tool or "thinking", f"failed: {text}" if self.failed else text)


def listed_tools(text: str, names: Collection[str] = ()) -> list[Offer]:
    """The tools of a list "- name: description", with the JSON Schema in a line where there is one.

    With `names` only these, and those that are not listed without a description.
    """
    found: dict[str, Offer] = {}
    for entry in _LISTED.finditer(text):
        name, rest = entry.group("name"), entry.group("rest")
        if names and name not in names:
            continue
        described, schema = rest, {}
        for start, end in reversed(bracketed(rest)):
            try:
                value = orjson.loads(rest[start:end])
            except orjson.JSONDecodeError:
                continue
            if isinstance(value, dict) and ("properties" in value or "type" in value):
                described, schema = rest[:start].rstrip(" :"), value
                break
        if not schema and (told := _ARGUMENTS.search(rest)):
            listed = re.split(r",\s*", told[1])
            schema = {
                "type": "object",
                "properties": {argument: _kind(argument) for argument in listed},
                "required": listed if len(listed) == 1 else [],
            }
        if names or schema:
            found.setdefault(name, Offer(name, described, schema))
    for name in names:
        found.setdefault(name, Offer(name))
    return list(found.values())


def _kind(argument: str) -> dict[str, str]:
    return {"type": "integer"} if argument == "id" or argument.endswith("_id") else {}


def notes(text: str) -> list[Noted]:
    """The entries of `text` that say what was done, each with the lines below it."""
    entries = list(_NOTED.finditer(text))
    found: list[Noted] = []
    for number, entry in enumerate(entries):
        end = entries[number + 1].start() if number + 1 < len(entries) else len(text)
        below = text[entry.end() : end]
        if heading := re.search(r"\n\n[^\n]{1,120}:[ \t]*\n", below):
            below = below[: heading.start()]
        told = below.strip() or (entry.group("why") or "").strip()
        found.append(Noted(entry.group("task"), entry.group("tool") or "", entry.group("status"), told))
    return found


def done(texts: Iterable[str]) -> list[Noted]:
    """The entries of all texts that have come to an end; of those that are told twice the one with more to tell."""
    latest: dict[tuple[str, str], Noted] = {}
    for note in (note for text in texts for note in notes(text)):
        key = (note.task, note.tool)
        if note.status not in _OPEN and (key not in latest or len(note.text) > len(latest[key].text)):
            latest[key] = note
    return list(latest.values())


def without_notes(text: str) -> str:
    """`text` up to its first entry of what was done, without the heading of that."""
    first = _NOTED.search(text)
    if first is None:
        return text.strip()
    before = text[: first.start()].rstrip()
    heading = before.rpartition("\n")[2]
    return before.removesuffix(heading).rstrip() if _HEADING.fullmatch(heading) else before


def section(text: str, word: str) -> list[str]:
    """The bullets below the last heading with `word` in it; [] where there is none."""
    headings = [found for found in _HEADING.finditer(text) if re.search(rf"\b{word}\b", found.group(), re.IGNORECASE)]
    if not headings:
        return []
    below = re.split(r"\n\s*\n", text[headings[-1].end() :].lstrip("\n"), maxsplit=1)[0]
    return [bullet.strip() for bullet in _BULLET.findall(below)]


def labelled(text: str, word: str) -> str:
    """What follows the last "… word: " at the end of a sentence or line, to the end of the text. "" if nothing."""
    found = list(re.finditer(rf"\b{word}:[ \t]*(?=\S)", text, re.IGNORECASE))
    return text[found[-1].end() :].strip() if found else ""
