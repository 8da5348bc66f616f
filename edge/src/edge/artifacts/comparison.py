"""What has changed from one version of an artifact to another."""

import difflib

from .model import Artifact

CONTEXT_LINES = 3


def compare(old: Artifact, new: Artifact) -> str:
    """A unified diff of the contents; empty where they are the same.

    Takes time that grows with the square of the number of lines: off the event loop with it (asyncio.to_thread).
    """
    before, after = (f"{about.artifact_id} version {about.version}" for about in (old.about, new.about))
    lines = difflib.unified_diff(
        old.content.split("\n"), new.content.split("\n"), before, after, n=CONTEXT_LINES, lineterm=""
    )
    return "\n".join(lines)
