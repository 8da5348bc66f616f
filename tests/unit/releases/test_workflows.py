"""GitHub's workflows call what a person calls."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_targets_that_exist_and_may_do_little(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    called = {word for step in steps for word in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))}
    assert called
    assert called <= targets
    assert workflow["permissions"]["contents"] == "read"
    assert all(job.get("timeout-minutes") for job in workflow["jobs"].values())
    # What a stranger can write never becomes part of a command: it comes through the environment.
    assert not any("${{" in step.get("run", "") for step in steps)


def test_there_is_a_workflow_for_each() -> None:
    assert {path.stem for path in WORKFLOWS} == {"test", "images", "release"}
