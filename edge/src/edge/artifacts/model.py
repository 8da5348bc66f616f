"""What an artifact is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

CONTENT_LIMIT_BYTES = 256 * 1024
"""The longest content, in UTF-8."""


@dataclass(frozen=True, slots=True)
class ArtifactVersion:
    """One version of an artifact, without its content."""

    artifact_id: str
    version: int
    """1 is the first."""
    thread_id: str | None
    """None: it was written by a run without a thread."""
    title: str
    media_type: str
    size_bytes: int
    """Of the content in UTF-8."""
    run_id: str | None
    """The run that wrote it. None: a person restored it."""
    restored_from: int | None
    """The version that was restored."""
    created_at: datetime
    latest: int
    """The number of the artifact's latest version."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One version of an artifact."""

    about: ArtifactVersion
    content: str


@dataclass(frozen=True, slots=True)
class ArtifactPage:
    """Some artifacts in their latest versions, those that were begun last first, and whether there are more."""

    artifacts: Sequence[ArtifactVersion]
    has_more: bool


@dataclass(frozen=True, slots=True)
class VersionPage:
    """Some versions of an artifact, newest first, and whether there are more."""

    versions: Sequence[ArtifactVersion]
    has_more: bool
