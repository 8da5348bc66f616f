"""Differences between versions: right where they are small, and bounded in time where they are hostile."""

import random
import time
from datetime import UTC, datetime

import pytest
from edge.artifacts import Artifact, ArtifactVersion
from edge.artifacts.comparison import compare


def artifact(content: str, version: int = 1) -> Artifact:
    about = ArtifactVersion(
        artifact_id="art_1",
        version=version,
        thread_id=None,
        title="T",
        media_type="text/plain",
        size_bytes=len(content),
        run_id=None,
        restored_from=None,
        created_at=datetime.now(UTC),
        latest=2,
    )
    return Artifact(about, content)


def applied(content: str, diff: str) -> str:
    """The content after a unified diff."""
    if not diff:
        return content
    lines, out, at = content.split("\n"), list[str](), 0
    for line in diff.split("\n")[2:]:
        if line.startswith("@@"):
            start = int(line.split()[1].split(",")[0].removeprefix("-"))
            first = start - 1 if not line.split()[1].endswith(",0") else start
            out += lines[at:first]
            at = first
        elif line.startswith("+"):
            out.append(line[1:])
        else:
            assert lines[at] == line[1:]
            out += [line[1:]] if line.startswith(" ") else []
            at += 1
    return "\n".join(out + lines[at:])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("a", "a"),
        ("", "a\nb"),
        ("a\nb\nc", ""),
        ("a\nb\nc\nd\ne\nf\ng", "a\nb\nc\nx\ne\nf\ng\nh"),
        ("a\n", "a"),
    ],
)
def test_a_difference_leads_from_one_to_the_other(old: str, new: str) -> None:
    diff = compare(artifact(old), artifact(new, 2))
    assert applied(old, diff) == new
    assert bool(diff) == (old != new)
    assert not diff or diff.startswith("--- art_1 version 1\n+++ art_1 version 2\n@@ ")


def test_lines_that_recur_without_end_do_not_take_for_ever() -> None:
    numbers = random.Random(7)
    old, new = ("\n".join(str(numbers.randrange(150)) for _ in range(60_000)) for _ in range(2))
    old, new = f"head\nup\nhere\nsame\n{old}\nfoot", f"head\nup\nhere\nsame\n{new}\nfoot"
    started = time.perf_counter()
    diff = compare(artifact(old), artifact(new, 2))
    assert time.perf_counter() - started < 2
    assert applied(old, diff) == new
    assert diff.split("\n")[3:6] == [" up", " here", " same"]
