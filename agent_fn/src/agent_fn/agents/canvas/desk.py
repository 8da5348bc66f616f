"""The desk: the artifacts of a run, and the tools by which a model works on them.

They run here and are pure, so a new attempt finds the desk as the log left it by doing once more, silently, what the
log says was done.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from agent_fn.agents.arguments import UnreadableError, read_arguments
from agent_fn.agents.artifacts import (
    MOST_ARTIFACTS,
    Artifact,
    ArtifactError,
    artifact_id,
    by_id,
    edited,
    lines_of,
    new_artifact,
    numbered,
    patch,
    rewritten,
)
from agent_fn.agents.canvas.checks import problems
from agent_fn.agents.canvas.requests import TOOLS, edits_of, optional_number, optional_text, required_text
from agent_fn.agents.context import RecoveredToolCall, RunContext
from agent_fn.conversation import ToolCall
from agent_fn.events import ArtifactDelta, ArtifactSaved, Event
from agent_fn.tools.port import ToolDescription, ToolOutcome

_READ_CHARACTERS: Final = 16_000


class Desk:
    """See tools.port.Toolbox. `artifacts` by id, in the order in which they were made."""

    is_reachable: Final = True

    def __init__(self, run_id: str, artifacts: Iterable[Artifact]) -> None:
        self._run_id = run_id
        self._made = 0
        self.artifacts = {artifact.id: artifact for artifact in artifacts}

    @classmethod
    def of(cls, context: RunContext) -> "Desk":
        """The desk as the run's log has left it."""
        desk = cls(context.run_id, context.artifacts)
        for known in context.recovery.tool_calls:
            desk._repeat(known)
        return desk

    async def describe(self) -> Sequence[ToolDescription]:
        """See Toolbox."""
        return TOOLS

    async def invoke(self, call: ToolCall, *, key: str, tell: Callable[[str], None]) -> ToolOutcome:
        """See Toolbox. What is new of an artifact is told together with the result."""
        artifact, outcome = self._carry_out(call)
        if artifact is not None:
            self._put(artifact)
        return outcome

    def _repeat(self, known: RecoveredToolCall) -> None:
        """Does what an earlier attempt did, if it did it: its result is then the very one that comes of it here."""
        if known.result is None or known.is_error or known.call["name"] not in _ACTIONS:
            return
        artifact, outcome = self._carry_out(known.call)
        if artifact is not None and outcome.content == known.result:
            self._put(artifact)

    def _put(self, artifact: Artifact) -> None:
        self._made += artifact.id not in self.artifacts
        self.artifacts[artifact.id] = artifact

    def _carry_out(self, call: ToolCall) -> tuple[Artifact | None, ToolOutcome]:
        """The artifact in its new version, if there is one, and what the model and the log are told."""
        try:
            done = _ACTIONS[call["name"]](self, read_arguments(call["arguments_json"]))
        except (ArtifactError, UnreadableError) as error:
            return None, ToolOutcome(str(error), is_error=True)
        if isinstance(done, str):
            return None, ToolOutcome(done)
        return done, ToolOutcome(_saved(done), events=_told(self.artifacts.get(done.id), done))

    def _create(self, arguments: Mapping[str, Any]) -> Artifact:
        if len(self.artifacts) >= MOST_ARTIFACTS:
            raise ArtifactError(
                f"There are {MOST_ARTIFACTS} artifacts, which is the most. Edit or rewrite one of them."
            )
        return new_artifact(
            artifact_id(self._run_id, self._made + 1),
            required_text(arguments, "title"),
            required_text(arguments, "media_type"),
            required_text(arguments, "content"),
        )

    def _edit(self, arguments: Mapping[str, Any]) -> Artifact:
        return edited(by_id(self.artifacts, required_text(arguments, "id")), edits_of(arguments))

    def _rewrite(self, arguments: Mapping[str, Any]) -> Artifact:
        return rewritten(
            by_id(self.artifacts, required_text(arguments, "id")),
            required_text(arguments, "content"),
            optional_text(arguments, "title"),
            optional_text(arguments, "media_type"),
        )

    def _read(self, arguments: Mapping[str, Any]) -> str:
        artifact = by_id(self.artifacts, required_text(arguments, "id"))
        first = optional_number(arguments, "first_line") or 1
        text = numbered(artifact, first, optional_number(arguments, "last_line"))
        if len(text) > _READ_CHARACTERS:
            text = _beginning(text, first)
        return f"{describe(artifact)}\n\n{text}"

    def _list(self, _: Mapping[str, Any]) -> str:
        return "\n".join(map(describe, self.artifacts.values())) or "There is no artifact yet."


_ACTIONS: Final[Mapping[str, Callable[[Desk, Mapping[str, Any]], Artifact | str]]] = {
    "create_artifact": Desk._create,
    "edit_artifact": Desk._edit,
    "rewrite_artifact": Desk._rewrite,
    "read_artifact": Desk._read,
    "list_artifacts": Desk._list,
}


def describe(artifact: Artifact) -> str:
    """An artifact in one line, as the model is told of it."""
    count = len(lines_of(artifact.content))
    lines = "1 line" if count == 1 else f"{count} lines"
    return f"{artifact.id}: {artifact.title} ({artifact.media_type}, version {artifact.version}, {lines})"


def _saved(artifact: Artifact) -> str:
    """Short, so that it is never cut: a later attempt compares it."""
    found = problems(artifact)
    warning = f"\nWarning, the content has problems: {' '.join(found)}" if found else ""
    return f"Saved {describe(artifact)}.{warning}"[:900]


def _beginning(text: str, first: int) -> str:
    """The lines that fit, of those from `first` on, and how to read on."""
    end = text.rfind("\n", 0, _READ_CHARACTERS)
    if end < 0:
        return f"{text[:_READ_CHARACTERS]}\n[The line is longer; it is cut here.]"
    last = first + text.count("\n", 0, end)
    return f"{text[:end]}\n[There are more lines. Read on with first_line {last + 1}.]"


def _told(before: Artifact | None, after: Artifact) -> Sequence[Event]:
    return (
        ArtifactDelta(after.id, after.version, orjson.dumps(patch(before, after)).decode()),
        ArtifactSaved(after.id, after.version),
    )
