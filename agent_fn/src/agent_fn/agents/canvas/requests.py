"""The tools of the desk as a model is told of them, and what it asks of them, read."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from agent_fn.agents.artifacts import ArtifactError, Edit, Replace, ReplaceLines
from agent_fn.generation import ToolDefinition
from agent_fn.tools.port import ToolDescription

_ID: Final = {"type": "string", "description": "the artifact's id: art_ and 24 characters"}
_MEDIA_TYPE: Final = {
    "type": "string",
    "description": "for instance text/markdown, text/html, text/csv, application/json, text/x-python",
}
_EDIT: Final = {
    "type": "object",
    "description": "either find and replace, or first_line, last_line and replace",
    "properties": {
        "find": {"type": "string", "description": "a text that occurs once, copied exactly, white space included"},
        "replace": {"type": "string", "description": "what takes its place; empty to delete"},
        "all": {"type": "boolean", "description": "with find: replace it wherever it occurs"},
        "first_line": {"type": "integer", "description": "instead of find: the first line to replace, counted from 1"},
        "last_line": {"type": "integer", "description": "the last line; first_line - 1 to insert before first_line"},
    },
    "required": ["replace"],
}


def _tool(name: str, description: str, *required: str, changes: bool = False, **properties: Any) -> ToolDescription:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return ToolDescription(ToolDefinition(name, description, orjson.dumps(schema).decode()), has_side_effects=changes)


TOOLS: Final[Sequence[ToolDescription]] = (
    _tool(
        "create_artifact",
        "Makes a new artifact: a document that the user sees beside the conversation, such as code, a page, a table.",
        "title",
        "media_type",
        "content",
        changes=True,
        title={"type": "string", "description": "a short title, or a file's name"},
        media_type=_MEDIA_TYPE,
        content={"type": "string", "description": "the whole content"},
    ),
    _tool(
        "edit_artifact",
        "Changes parts of an artifact. All edits of one call refer to the content as it is before the call, and all of "
        "them are made or none. Use it for every change that leaves most of the artifact as it is.",
        "id",
        "edits",
        changes=True,
        id=_ID,
        edits={"type": "array", "items": _EDIT},
    ),
    _tool("list_artifacts", "Lists the artifacts: their ids, titles, media types, versions and lengths."),
    _tool(
        "read_artifact",
        "Shows an artifact's lines with their numbers, all or some.",
        "id",
        id=_ID,
        first_line={"type": "integer", "description": "1 if it is left out"},
        last_line={"type": "integer", "description": "the last one if it is left out"},
    ),
    _tool(
        "rewrite_artifact",
        "Writes an artifact anew as a whole. Only where edits would touch most of it.",
        "id",
        "content",
        changes=True,
        id=_ID,
        content={"type": "string", "description": "the whole new content"},
        title={"type": "string", "description": "a new title, if it changes"},
        media_type=_MEDIA_TYPE,
    ),
)


def required_text(arguments: Mapping[str, Any], name: str) -> str:
    """A text among the arguments. Raises ArtifactError."""
    text = optional_text(arguments, name)
    if text is None:
        raise ArtifactError(f"{name} is missing.")
    return text


def optional_text(arguments: Mapping[str, Any], name: str) -> str | None:
    """A text, if it is among the arguments. Data for a content is taken as the JSON that a model means by it.

    Raises ArtifactError for what is no text.
    """
    value = arguments.get(name)
    if value is None or isinstance(value, str):
        return value
    if name == "content":
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    raise ArtifactError(f"{name} wants a string.")


def optional_number(arguments: Mapping[str, Any], name: str) -> int | None:
    """A whole number, if it is among the arguments. Raises ArtifactError."""
    value = arguments.get(name)
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        value = int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ArtifactError(f"{name} wants a whole number.")


def edits_of(arguments: Mapping[str, Any]) -> list[Edit]:
    """The edits that are asked for. Raises ArtifactError."""
    written = arguments.get("edits")
    if isinstance(written, str):  # some models write the list as a string in JSON
        try:
            written = orjson.loads(written)
        except orjson.JSONDecodeError:
            written = None
    if isinstance(written, dict):
        written = [written]
    if not isinstance(written, list) or not all(isinstance(entry, dict) for entry in written):
        raise ArtifactError("edits wants a list of objects: find and replace, or first_line, last_line and replace.")
    return [_edit(entry, number) for number, entry in enumerate(written, 1)]


def _edit(entry: Mapping[str, Any], number: int) -> Edit:
    try:
        text = required_text(entry, "replace")
        if entry.get("find") is not None:
            return Replace(required_text(entry, "find"), text, everywhere=entry.get("all") is True)
        first = optional_number(entry, "first_line")
        if first is None:
            raise ArtifactError("find or first_line is missing.")
        last = optional_number(entry, "last_line")
        return ReplaceLines(first, first if last is None else last, text)
    except ArtifactError as error:
        raise ArtifactError(f"Edit {number}: {error}") from error
