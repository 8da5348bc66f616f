"""Requests about artifacts, and the shapes of their answers."""

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.content import Count, Schema


class ArtifactInfo(BaseModel):
    """A version of an artifact, without what it holds."""

    id: str
    object: Literal["artifact"]
    version: int = Field(description="1 is the first.")
    latest_version: int
    thread_id: str | None = Field(description="Null: it was written by a run without a thread.")
    run_id: str | None = Field(description="The run that wrote it. Null: a person restored it.")
    restored_from: int | None = Field(description="The version that was restored.")
    title: str
    media_type: str
    size_bytes: int
    created_at: datetime


class ArtifactObject(ArtifactInfo):
    """A version of an artifact."""

    content: str


class ArtifactList(BaseModel):
    object: Literal["list"]
    data: list[ArtifactInfo]
    has_more: bool
    last_id: str | None = Field(description="For `after`, to read on.")


class ArtifactVersionList(BaseModel):
    object: Literal["list"]
    data: list[ArtifactInfo]
    has_more: bool
    last_version: int | None = Field(description="For `before`, to read on.")


class ArtifactComparison(BaseModel):
    """What changed from one version to another."""

    object: Literal["artifact.comparison"]
    artifact_id: str
    from_version: int
    to_version: int
    added_lines: int
    removed_lines: int
    diff: str = Field(description="Unified diff; empty where nothing changed.")


class ArtifactRestore(Schema):
    """Which version is to be the latest again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"version": 1}]})

    version: Count


MODELS: Final = (
    ArtifactInfo,
    ArtifactObject,
    ArtifactList,
    ArtifactVersionList,
    ArtifactComparison,
    ArtifactRestore,
)

INFO_EXAMPLE: Final[dict[str, Any]] = {
    "id": "art_8dYh2mPz0ZcA5kQw1nRtXvBg",
    "object": "artifact",
    "version": 2,
    "latest_version": 2,
    "thread_id": "thread_8dYh2mPz0ZcA5kQw1nRtXvBg",
    "run_id": "run_8dYh2mPz0ZcA5kQw1nRtXvBg",
    "restored_from": None,
    "title": "Notes on dormice",
    "media_type": "text/markdown",
    "size_bytes": 23,
    "created_at": "2026-11-20T09:34:55.595Z",
}
EXAMPLE: Final = INFO_EXAMPLE | {"content": "# Dormice\n\nThey sleep.\n"}
LIST_EXAMPLE: Final = {"object": "list", "data": [INFO_EXAMPLE], "has_more": False, "last_id": INFO_EXAMPLE["id"]}
VERSIONS_EXAMPLE: Final = {"object": "list", "data": [INFO_EXAMPLE], "has_more": True, "last_version": 2}
COMPARISON_EXAMPLE: Final[dict[str, Any]] = {
    "object": "artifact.comparison",
    "artifact_id": INFO_EXAMPLE["id"],
    "from_version": 1,
    "to_version": 2,
    "added_lines": 1,
    "removed_lines": 1,
    "diff": "--- version 1\n+++ version 2\n@@ -1,3 +1,3 @@\n # Dormice\n \n-They eat.\n+They sleep.",
}
