"""Follows the artifacts that a run writes, and keeps each version before the log says that it is complete."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from dormouse.agent.v1.agent_pb2 import Artifact
from dormouse.agent.v1.run_event_pb2 import ArtifactDelta, RunEvent
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

from edge.artifacts.model import CONTENT_LIMIT_BYTES
from edge.artifacts.store import ArtifactStore

from .live_run import Entry
from .ownership import Ownership
from .run_rows import LostError

Document = dict[str, Any]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Draft:
    """An artifact as the log tells it."""

    version: int
    """The latest that is complete; 0 before the first."""
    document: Any
    told: list[str] = field(default_factory=list)
    """The patches behind it that the log holds."""
    said: list[str] | None = None
    """What a repeated attempt has said of the same version. None: it says what is new."""


def speaks_of_artifacts(events: Sequence[RunEvent]) -> bool:
    """Whether an event about an artifact is among them."""
    return any(event.HasField("artifact_delta") or event.HasField("artifact_saved") for event in events)


class ArtifactFollower:
    """One per owner of a run. What passes it is to be logged at once.

    pinned: what the run started from. log: what owners and attempts before this moment have told.

    A new attempt tells a version that was not complete from its beginning. As long as it says what the log tells
    already, nothing is logged; where it departs from that, one patch leads from the one to the other at the end.
    """

    def __init__(self, own: Ownership, store: ArtifactStore, pinned: Sequence[Artifact], log: Sequence[Entry]) -> None:
        self._own = own
        self._store = store
        self._pinned = {artifact.id: artifact for artifact in pinned}
        self._drafts: dict[str, _Draft] = {}
        if own.epoch > 1:  # no other owner has told anything
            self._read(log)
        self.begin_attempt()

    def begin_attempt(self) -> None:
        """Another attempt begins, from the same versions."""
        for draft in self._drafts.values():
            draft.said = [] if draft.told else None

    async def follow(self, events: Sequence[RunEvent]) -> Sequence[RunEvent]:
        """Of what an attempt says what is to be logged, every complete version stored before.

        Raises DATABASE_UNAVAILABLE, CONFLICT; INTERNAL for what is no artifact; LostError.
        """
        passed: list[RunEvent] = []
        for event in events:
            if event.HasField("artifact_delta"):
                if self._takes(event.artifact_delta):
                    passed.append(event)
            elif event.HasField("artifact_saved"):
                passed += await self._save(event)
            else:
                passed.append(event)
        return passed

    def _read(self, log: Sequence[Entry]) -> None:
        for event in (event for entry in log for event in entry.parsed()):
            if event.HasField("artifact_delta"):
                self._draft(event.artifact_delta.artifact_id).told.append(event.artifact_delta.patch_json)
            elif event.HasField("artifact_saved"):
                draft = self._draft(event.artifact_saved.artifact_id)
                draft.version, draft.document = event.artifact_saved.version, _patched(draft.document, draft.told)
                draft.told = []

    def _draft(self, artifact_id: str) -> _Draft:
        if artifact_id not in self._drafts:
            pinned = self._pinned.get(artifact_id)
            self._drafts[artifact_id] = _Draft(pinned.version, _document(pinned)) if pinned else _Draft(0, None)
        return self._drafts[artifact_id]

    def _takes(self, delta: ArtifactDelta) -> bool:
        """Whether the log is to tell this patch."""
        draft = self._draft(delta.artifact_id)
        if delta.version <= draft.version:
            return False
        if delta.version != draft.version + 1:
            raise _unusable(f"version {delta.version} does not follow {draft.version}")
        if draft.said is None:
            draft.told.append(delta.patch_json)
            return True
        draft.said.append(delta.patch_json)
        if draft.said == draft.told:
            draft.said = None
        return False

    async def _save(self, event: RunEvent) -> list[RunEvent]:
        artifact_id, version = event.artifact_saved.artifact_id, event.artifact_saved.version
        draft = self._draft(artifact_id)
        if version <= draft.version:
            return []
        if version != draft.version + 1:
            raise _unusable(f"version {version} does not follow {draft.version}")
        passed: list[RunEvent] = []
        # Thousands of patches take their time.
        document = await asyncio.to_thread(_patched, draft.document, draft.told if draft.said is None else draft.said)
        if draft.said is not None and (patch := await asyncio.to_thread(_difference, draft, document)):
            delta = ArtifactDelta(artifact_id=artifact_id, version=version, patch_json=patch)
            passed.append(RunEvent(artifact_delta=delta))
        artifact = _artifact(artifact_id, version, document)
        own = self._own
        if own.stored and not await self._store.save(
            own.tenant, artifact, run_id=own.run_id, epoch=own.epoch, thread_id=own.thread_id
        ):
            raise LostError
        draft.version, draft.document, draft.told, draft.said = version, document, [], None
        return [*passed, event]


def _document(artifact: Artifact) -> Document:
    return {"title": artifact.title, "media_type": artifact.media_type, "lines": artifact.content.split("\n")}


def _artifact(artifact_id: str, version: int, document: Any) -> Artifact:
    match document:
        case {"title": str(title), "media_type": str(media_type), "lines": [*lines]} if all(
            isinstance(line, str) for line in lines
        ):
            content = "\n".join(lines)
        case _:
            raise _unusable("it has no title, media type and lines")
    if len(content.encode(errors="replace")) > CONTENT_LIMIT_BYTES:
        raise _unusable("it is too long")
    # Postgres has no character 0.
    title, media_type, content = (text.replace("\0", "\ufffd") for text in (title, media_type, content))
    return Artifact(id=artifact_id, version=version, title=title, media_type=media_type, content=content)


def _patched(document: Any, patches: Sequence[str]) -> Any:
    """A new document; the one given stays as it is."""
    # Loaded by the first run that writes an artifact.
    import jsonpatch

    value = orjson.loads(orjson.dumps(document))
    try:
        for patch in patches:
            value = jsonpatch.JsonPatch(orjson.loads(patch)).apply(value, in_place=True)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, orjson.JSONDecodeError) as error:
        raise _unusable("a patch does not fit") from error
    return value


def _difference(draft: _Draft, document: Any) -> str:
    """The patch from what the log tells to the document; empty where that is the same."""
    import jsonpatch

    patch = jsonpatch.make_patch(_patched(draft.document, draft.told), document).patch
    return orjson.dumps(patch).decode() if patch else ""


def _unusable(why: str) -> DormouseError:
    _log.error("an artifact cannot be kept", extra={"why": why})
    return DormouseError(ErrorReason.ERROR_REASON_INTERNAL, "The agent wrote an artifact that cannot be kept.")
