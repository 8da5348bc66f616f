"""Artifacts: documents that agents write, with all their versions."""

from .model import Artifact, ArtifactPage, ArtifactVersion, VersionPage
from .store import ArtifactStore, open_artifacts

__all__ = ["Artifact", "ArtifactPage", "ArtifactStore", "ArtifactVersion", "VersionPage", "open_artifacts"]
