"""The state that an AG-UI client shares with the run: its own, what the agent keeps, and the thread's artifacts.

https://docs.ag-ui.com/spec/1.0/events/state. Artifacts stand under `/artifacts/<id>` as {"title", "media_type",
"lines", "version"}.
"""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import jsonpatch
from dormouse.agent.v1.agent_pb2 import Artifact
from jsonpointer import JsonPointerException

ARTIFACTS: Final = "artifacts"

_FAILURES: Final = (jsonpatch.JsonPatchException, JsonPointerException, LookupError, TypeError, ValueError)

Patch = list[dict[str, Any]]


def artifact_value(artifact: Artifact) -> dict[str, Any]:
    """An artifact as it stands in the state."""
    return {
        "title": artifact.title,
        "media_type": artifact.media_type,
        "lines": artifact.content.split("\n"),
        "version": artifact.version,
    }


class SharedState:
    """Follows the state, and says what to send: a snapshot first, then patches that apply to it.

    given: what the client holds. artifacts: those of the thread as they stand, by id.
    """

    def __init__(self, given: Any = None, artifacts: Mapping[str, Any] | None = None) -> None:
        # A state that is no object gives way to one with the first snapshot.
        self._given: dict[str, Any] = dict(given) if isinstance(given, dict) else {}
        held = self._given.pop(ARTIFACTS, {})
        self._kept: Any = {}
        self._artifacts: dict[str, Any] = dict(artifacts or {})
        self._contained = {name: artifact["version"] for name, artifact in self._artifacts.items()}
        self.needs_snapshot = True
        """Whether the client has to be given a snapshot before a patch fits."""
        self.is_outdated = held != self._artifacts
        """Whether the client holds other artifacts than the thread does."""

    def snapshot(self) -> dict[str, Any]:
        """All of it, which the client holds from now on; not to be changed."""
        self.needs_snapshot = self.is_outdated = False
        return {**self._given, **_object(self._kept), ARTIFACTS: self._artifacts}

    def replace(self, kept: Any) -> None:
        """What the agent keeps is this from now on."""
        for name in _object(self._kept).keys() - _object(kept).keys():
            self._given.pop(name, None)  # it is gone, whatever the client held once
        self._kept = kept
        self.needs_snapshot = True

    def patch(self, patch: Patch) -> Patch:
        """What the agent keeps changes. Gives the patch for the client; empty where only a snapshot can tell it."""
        if any("" in (step.get("path"), step.get("from")) for step in patch):
            with contextlib.suppress(*_FAILURES):
                self.replace(jsonpatch.apply_patch(self._kept, patch))
            return []
        names = set(_object(self._kept))
        if not _apply(self._kept, patch):
            self.needs_snapshot = True
            return []
        for name in names - _object(self._kept).keys():
            self._given.pop(name, None)
        return patch

    def patch_artifact(self, artifact_id: str, version: int, patch: Patch) -> Patch:
        """An artifact changes. Gives the patch for the client; empty where only a snapshot can tell it.

        Empty, too, for what the artifact already contained when it was read, while the run went on.
        """
        if version <= self._contained.get(artifact_id, 0):
            return []
        base = f"/{ARTIFACTS}/{artifact_id}"
        steps = [_moved(step, base) for step in patch]
        if self._artifacts.get(artifact_id, {}).get("version") != version:
            steps.append({"op": "add", "path": f"{base}/version", "value": version})
        if _apply({ARTIFACTS: self._artifacts}, steps):
            return steps
        self.needs_snapshot = True
        return []


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _moved(step: Mapping[str, Any], base: str) -> dict[str, Any]:
    return {name: base + value if name in ("path", "from") else value for name, value in step.items()}


def _apply(document: Any, patch: Iterable[Mapping[str, Any]]) -> bool:
    """Applies the patch in place. False: it does not fit, and part of it may have been applied."""
    try:
        jsonpatch.JsonPatch(patch).apply(document, in_place=True)
    except _FAILURES:
        return False
    return True
