"""Artifacts: documents that an agent writes, as values; what edits them, and the patches between their versions.

Everything here is pure: the same calls on the same artifacts give the same versions in every attempt of a run.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher, get_close_matches
from typing import Any, Final

CONTENT_BYTES: Final = 256 * 1024
MOST_ARTIFACTS: Final = 20
EDIT_BYTES: Final = 200_000
MOST_EDITS: Final = 100
TITLE_CHARACTERS: Final = 200

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MEDIA_TYPE: Final = re.compile(
    r"(?:text/[a-z0-9][a-z0-9.+-]{0,60}|application/[a-z0-9][a-z0-9.+-]{0,60}|image/svg\+xml)"
)
_NAMED: Final = {
    "markdown": "text/markdown",
    "md": "text/markdown",
    "html": "text/html",
    "csv": "text/csv",
    "json": "application/json",
    "text": "text/plain",
    "txt": "text/plain",
    "css": "text/css",
    "javascript": "text/javascript",
    "js": "text/javascript",
    "typescript": "text/x-typescript",
    "ts": "text/x-typescript",
    "python": "text/x-python",
    "py": "text/x-python",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "svg": "image/svg+xml",
}
_LANGUAGE: Final = re.compile(r"[a-z][a-z0-9+#-]{0,30}")
# Beyond this many pairs of equal lines a comparison takes too long: what lies between the first and the last change is
# replaced as one block.
_EQUAL_PAIRS: Final = 200_000
_PLACES_NAMED: Final = 5


class ArtifactError(Exception):
    """What a model asked for cannot be done; the text tells it how to ask instead."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A document as of one version; 1 is the first. `content` has at most 256 KiB of UTF-8."""

    id: str
    version: int
    title: str
    media_type: str
    content: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Put `replace` where `find` stands: it has to stand there once, unless `everywhere`."""

    find: str
    replace: str
    everywhere: bool = False


@dataclass(frozen=True, slots=True)
class ReplaceLines:
    """Put `text` in place of the lines `first` to `last`, counted from 1, both included.

    `last` = `first` - 1 inserts before `first`; an empty text drops the lines.
    """

    first: int
    last: int
    text: str


Edit = Replace | ReplaceLines
Operation = dict[str, Any]


def artifact_id(run_id: str, number: int) -> str:
    """The id of a run's `number`th artifact: "art_" and 24 characters of base 62, the same in every attempt."""
    value = int.from_bytes(hashlib.sha256(f"{run_id}/artifact/{number}".encode()).digest())
    digits = []
    for _ in range(24):
        value, digit = divmod(value, 62)
        digits.append(_BASE62[digit])
    return "art_" + "".join(digits)


def new_artifact(identity: str, title: str, media_type: str, content: str) -> Artifact:
    """Version 1. Raises ArtifactError."""
    title = " ".join(title.split())
    if not 0 < len(title) <= TITLE_CHARACTERS:
        raise ArtifactError(f"The title wants 1 to {TITLE_CHARACTERS} characters.")
    return Artifact(identity, 1, title, known_media_type(media_type), _checked(content))


def rewritten(artifact: Artifact, content: str, title: str | None = None, media_type: str | None = None) -> Artifact:
    """The next version, written anew; None leaves the title or the media type. Raises ArtifactError."""
    fresh = new_artifact(artifact.id, title or artifact.title, media_type or artifact.media_type, content)
    return replace(fresh, version=artifact.version + 1)


def edited(artifact: Artifact, edits: Sequence[Edit]) -> Artifact:
    """The next version. All edits refer to the content as it was before, so their order does not matter.

    Raises ArtifactError, and then nothing is changed: a text that is not found or not found just once, lines that
    there are not, edits that overlap or change nothing.
    """
    if not 0 < len(edits) <= MOST_EDITS:
        raise ArtifactError(f"edits wants 1 to {MOST_EDITS} edits.")
    if sum(map(_size, edits)) > EDIT_BYTES:
        raise ArtifactError(f"The edits have more than {EDIT_BYTES:,} bytes. Make fewer of them in one call.")
    content = artifact.content
    spans = sorted(span for number, edit in enumerate(edits, 1) for span in _spans(content, edit, number))
    parts: list[str] = []
    at = 0
    for start, end, number, text in spans:
        if start < at:
            raise ArtifactError(f"Edit {number} overlaps another one. Nothing was changed.")
        parts += (content[at:start], text)
        at = end
    parts.append(content[at:])
    changed = _checked("".join(parts))
    if changed == content:
        raise ArtifactError("The edits change nothing: the content is as they would make it.")
    return replace(artifact, version=artifact.version + 1, content=changed)


def numbered(artifact: Artifact, first: int | None = None, last: int | None = None) -> str:
    """The lines `first` to `last` with their numbers, as an edit names them. Raises ArtifactError."""
    lines = lines_of(artifact.content)
    first, last = first or 1, min(last or len(lines), len(lines))
    if not 1 <= first <= last:
        raise ArtifactError(f"{artifact.id} has {_lines(len(lines))}; there are no lines {first} to {last}.")
    width = len(str(last))
    return "\n".join(f"{number:>{width}}  {lines[number - 1]}" for number in range(first, last + 1))


def lines_of(content: str) -> list[str]:
    """The content split at line ends, as patches address it; one line where it is empty."""
    return content.split("\n")


def document(artifact: Artifact) -> dict[str, Any]:
    """The value that patches are made for."""
    return {"title": artifact.title, "media_type": artifact.media_type, "lines": lines_of(artifact.content)}


def patch(before: Artifact | None, after: Artifact) -> list[Operation]:
    """RFC 6902: what makes `before` into `after`, no longer than it has to be. None: there was nothing."""
    if before is None:
        return [{"op": "add", "path": "", "value": document(after)}]
    operations: list[Operation] = [
        {"op": "replace", "path": f"/{name}", "value": getattr(after, name)}
        for name in ("title", "media_type")
        if getattr(before, name) != getattr(after, name)
    ]
    lines = lines_of(after.content)
    changes = list(_changes(lines_of(before.content), lines))
    if sum(map(_weight, changes)) > sum(len(line) + 3 for line in lines) + 40:
        changes = [{"op": "replace", "path": "/lines", "value": lines}]
    return operations + changes


def _changes(old: list[str], new: list[str]) -> Iterator[Operation]:
    """Line by line, each operation on what those before it have left."""
    at = 0
    for tag, old_from, old_to, new_from, new_to in _differences(old, new):
        if tag == "equal":
            at += old_to - old_from
            continue
        both = min(old_to - old_from, new_to - new_from)
        for line in new[new_from : new_from + both]:
            yield {"op": "replace", "path": f"/lines/{at}", "value": line}
            at += 1
        for line in new[new_from + both : new_to]:
            yield {"op": "add", "path": f"/lines/{at}", "value": line}
            at += 1
        for _ in range(old_from + both, old_to):
            yield {"op": "remove", "path": f"/lines/{at}"}


def _differences(old: list[str], new: list[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """Like difflib's opcodes. What is the same at both ends is set aside first, which is most of it."""
    shorter = min(len(old), len(new))
    head = next((at for at in range(shorter) if old[at] != new[at]), shorter)
    most = shorter - head
    tail = next((at for at in range(most) if old[-1 - at] != new[-1 - at]), most)
    old_end, new_end = len(old) - tail, len(new) - tail
    yield "equal", 0, head, 0, head
    old_counts, new_counts = Counter(old[head:old_end]), Counter(new[head:new_end])
    if sum(count * new_counts[line] for line, count in old_counts.items()) > _EQUAL_PAIRS:
        yield "replace", head, old_end, head, new_end
        return
    matcher = SequenceMatcher(None, old[head:old_end], new[head:new_end], autojunk=False)
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        yield tag, head + old_from, head + old_to, head + new_from, head + new_to


def _weight(operation: Operation) -> int:
    return len(operation["path"]) + len(operation.get("value", "")) + 30


def _spans(content: str, edit: Edit, number: int) -> Iterator[tuple[int, int, int, str]]:
    """Where in the content an edit puts its text: start, end, its number, the text."""
    if isinstance(edit, ReplaceLines):
        yield (*_line_span(content, edit, number),)
        return
    places = _occurrences(content, edit.find)
    if not places:
        raise ArtifactError(_not_found(content, edit.find, number))
    if len(places) > 1 and not edit.everywhere:
        shown = ", ".join(str(_line_at(content, place)) for place in places[:_PLACES_NAMED])
        more = ", …" if len(places) > _PLACES_NAMED else ""
        raise ArtifactError(
            f"Edit {number}: the text to find occurs {len(places)} times, in lines {shown}{more}. Make it longer, so "
            "that it occurs once, or set all to true. Nothing was changed."
        )
    for place in places:
        yield place, place + len(edit.find), number, edit.replace


def _occurrences(content: str, text: str) -> list[int]:
    if not text:
        raise ArtifactError("The text to find is empty. To write everything anew use rewrite_artifact.")
    places, at = [], content.find(text)
    while at >= 0:
        places.append(at)
        at = content.find(text, at + len(text))
    return places


def _line_span(content: str, edit: ReplaceLines, number: int) -> tuple[int, int, int, str]:
    lines = lines_of(content)
    count = len(lines)
    inserts = edit.last == edit.first - 1
    if not (1 <= edit.first <= count + inserts and edit.first - 1 <= edit.last <= count):
        raise ArtifactError(
            f"Edit {number}: there are no lines {edit.first} to {edit.last}; the artifact has {_lines(count)}. "
            "Nothing was changed."
        )
    text = edit.text.removesuffix("\n")
    start = sum(len(line) + 1 for line in lines[: edit.first - 1])
    if inserts:
        if edit.first > count:  # behind the last line
            return len(content), len(content), number, f"\n{text}"
        return start, start, number, f"{text}\n"
    end = start + sum(len(line) + 1 for line in lines[edit.first - 1 : edit.last]) - 1
    if edit.text:
        return start, end, number, text
    if edit.last < count:
        return start, end + 1, number, ""
    return max(start - 1, 0), end, number, ""


def _not_found(content: str, find: str, number: int) -> str:
    """Says so, and where something like it stands."""
    says = f"Edit {number}: the text to find occurs 0 times."
    pattern = r"\s+".join(map(re.escape, find.split()[:200]))
    if pattern and (near := re.search(pattern, content)):
        line = _line_at(content, near.start())
        return f"{says} From line {line} on it stands with other white space: {_shown(near[0])}. Nothing was changed."
    wanted = max(find.split("\n"), key=len).strip()
    lines = lines_of(content)
    for close in get_close_matches(wanted[:200], [line.strip()[:200] for line in lines[:2000]], n=1, cutoff=0.6):
        line = next(at for at, text in enumerate(lines, 1) if text.strip()[:200] == close)
        return f"{says} The nearest is line {line}: {_shown(lines[line - 1])}. Nothing was changed."
    return f"{says} Read the artifact and copy the text exactly. Nothing was changed."


def _shown(text: str) -> str:
    return repr(text if len(text) <= 200 else f"{text[:200]}…")


def _line_at(content: str, place: int) -> int:
    return content.count("\n", 0, place) + 1


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"


def _size(edit: Edit) -> int:
    texts = (edit.find, edit.replace) if isinstance(edit, Replace) else (edit.text,)
    return sum(len(text.encode()) for text in texts)


def _checked(content: str) -> str:
    size = len(content.encode())
    if size > CONTENT_BYTES:
        raise ArtifactError(f"The content would have {size:,} bytes; {CONTENT_BYTES:,} are the most.")
    if "\0" in content:
        raise ArtifactError("The content holds a NUL character, which no text has.")
    return content


def known_media_type(text: str) -> str:
    """A media type from what a model calls it: "text/html", "html", "Python", ".csv". Raises ArtifactError."""
    wanted = text.partition(";")[0].strip().lower().removeprefix(".")
    if named := _NAMED.get(wanted):
        return named
    if _MEDIA_TYPE.fullmatch(wanted):
        return wanted
    if _LANGUAGE.fullmatch(wanted):
        return f"text/x-{wanted.replace('#', 'sharp').replace('+', 'p')}"
    raise ArtifactError(
        f"{_shown(text)} is no media type of a text. Use for instance text/markdown, text/html, text/csv, "
        "application/json or text/x-python."
    )


def by_id(artifacts: Mapping[str, Artifact], identity: str) -> Artifact:
    """The artifact with this id, or the only one with this title. Raises ArtifactError, which names those there are."""
    if found := artifacts.get(identity):
        return found
    titled = [artifact for artifact in artifacts.values() if artifact.title == identity]
    if len(titled) == 1:
        return titled[0]
    if not artifacts:
        raise ArtifactError("There is no artifact yet. Make one with create_artifact.")
    there = ", ".join(f"{artifact.id} ({artifact.title})" for artifact in artifacts.values())
    raise ArtifactError(f"There is no artifact {_shown(identity)}. There are: {there}.")
