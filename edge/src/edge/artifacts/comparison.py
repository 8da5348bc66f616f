"""What has changed from one version of an artifact to another."""

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from .model import Artifact

CONTEXT_LINES: Final = 3

EFFORT_LIMIT: Final = 1_000_000
"""Pairs of equal lines that are looked at, some half a second's work. Beyond that a difference is told as one block."""

_POPULAR_FROM: Final = 200
"""difflib passes over lines that make up more than a hundredth of so many lines or more."""


def compare(old: Artifact, new: Artifact) -> str:
    """A unified diff of the contents; empty where they are the same.

    May take a second: off the event loop with it (asyncio.to_thread).
    """
    names = tuple(f"{about.artifact_id} version {about.version}" for about in (old.about, new.about))
    return "\n".join(_diff(old.content.split("\n"), new.content.split("\n"), *names))


def _diff(before: Sequence[str], after: Sequence[str], old_name: str, new_name: str) -> Iterator[str]:
    start = _shared(before, after)
    end = _shared(before[start:][::-1], after[start:][::-1])
    if _effort(before[start : len(before) - end], after[start : len(after) - end]) <= EFFORT_LIMIT:
        yield from difflib.unified_diff(before, after, old_name, new_name, n=CONTEXT_LINES, lineterm="")
        return
    first, last = max(start - CONTEXT_LINES, 0), max(end - CONTEXT_LINES, 0)
    old_lines, new_lines = before[first : len(before) - last], after[first : len(after) - last]
    yield f"--- {old_name}"
    yield f"+++ {new_name}"
    yield f"@@ -{first + 1},{len(old_lines)} +{first + 1},{len(new_lines)} @@"
    yield from (f" {line}" for line in before[first:start])
    yield from (f"-{line}" for line in before[start : len(before) - end])
    yield from (f"+{line}" for line in after[start : len(after) - end])
    yield from (f" {line}" for line in before[len(before) - end : len(before) - last])


def _shared(before: Sequence[str], after: Sequence[str]) -> int:
    """How many lines both begin with."""
    return next(
        (index for index, (old, new) in enumerate(zip(before, after, strict=False)) if old != new),
        min(len(before), len(after)),
    )


def _effort(before: Sequence[str], after: Sequence[str]) -> int:
    counts = Counter(after)
    most = len(after) // 100 + 1 if len(after) >= _POPULAR_FROM else len(after)
    return sum(count for line in before if (count := counts[line]) <= most)
