"""images/build.sh: what it asks the engine for, and what it says when it cannot. The engine is a stand-in."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE = """#!/bin/sh
echo "$@" >>"${0%/*}/asked"
case "$1 $*" in
info*) exit "${INFO:-0}" ;;
inspect*) echo 123456789 ;;
build*-edge:broken*) echo "step 7 failed" >&2; exit 9 ;;
esac
"""


def build(folder: Path, *parts: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    # Only the stand-in is an engine here, whatever this machine has.
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for tool in ("bash", "sh", "git", "sed", "dirname"):
        target = next(Path(p, tool) for p in os.environ["PATH"].split(":") if Path(p, tool).is_file())
        (tools / tool).unlink(missing_ok=True)
        (tools / tool).symlink_to(target)
    return subprocess.run(
        [str(tools / "bash"), str(ROOT / "images" / "build.sh"), *parts],
        env={"PATH": f"{folder / 'bin'}:{tools}", "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    engine = tmp_path / "bin" / "podman"
    engine.write_text(ENGINE)
    engine.chmod(0o755)
    return tmp_path


def asked(place: Path, command: str) -> list[str]:
    return [line for line in (place / "bin" / "asked").read_text().splitlines() if line.startswith(command)]


def test_a_part_that_does_not_exist_is_named_and_nothing_is_built(place: Path) -> None:
    done = build(place, "edge", "edgy")
    assert done.returncode == 2
    assert "There is no part 'edgy'. Parts: migrations edge agent_fn" in done.stderr
    assert not (place / "bin" / "asked").exists()


def test_help_names_every_variable(place: Path) -> None:
    done = build(place, "--help")
    assert done.returncode == 0
    for name in ("REGISTRY", "TAG", "BASE", "ENGINE", "PLATFORM", "CA", "PUSH", "CACHE"):
        assert name in done.stdout


def test_without_an_engine_it_says_which_it_knows(tmp_path: Path) -> None:
    done = build(tmp_path, "edge")
    assert done.returncode == 1
    assert "docker, podman or buildah" in done.stderr


def test_an_engine_that_does_not_answer_is_none(place: Path) -> None:
    assert build(place, "edge", INFO="1").returncode == 1
    assert not asked(place, "build")


def test_all_parts_are_built_under_their_names(place: Path) -> None:
    done = build(place, TAG="t1", REGISTRY="registry.example.org/dormouse")
    assert done.returncode == 0, done.stderr
    names = [line.split("--tag ")[1].split()[0] for line in asked(place, "build")]
    order = re.search(r"^order=\((.*)\)$", (ROOT / "images" / "build.sh").read_text(), re.MULTILINE)
    assert order
    parts = [part.replace("_", "-") for part in order[1].split()]
    assert {"migrations", "edge", "agent-fn", "tool-fn", "embed-fn", "model-server"} <= set(parts)
    assert names == [f"registry.example.org/dormouse/dormouse-{part}:t1" for part in parts]
    assert "123 MB" in done.stdout
    assert not asked(place, "push")


def test_options_reach_the_engine_and_the_bundle_of_certificates_stays_a_secret(place: Path) -> None:
    options = {"BASE": "registry.example.org/python:3.11", "PLATFORM": "linux/arm64", "CA": "/etc/ca.pem", "PUSH": "1"}
    assert build(place, "tool_fn", TAG="t1", **options).returncode == 0
    (line,) = asked(place, "build")
    assert "--build-arg BASE=registry.example.org/python:3.11" in line
    assert "--platform linux/arm64" in line
    assert "--secret id=ca,src=/etc/ca.pem" in line
    assert line.count("/etc/ca.pem") == 1
    assert "--layers" in line
    assert "--file tool_fn/Dockerfile" in line
    assert asked(place, "push") == ["push --quiet dormouse-tool-fn:t1"]


def test_layers_that_have_not_changed_can_be_taken_from_the_registry(place: Path) -> None:
    (place / "bin" / "docker").symlink_to("podman")
    name = "registry.example.org:5000/dormouse/dormouse-edge"
    environment = {"TAG": "t1", "REGISTRY": "registry.example.org:5000/dormouse", "CACHE": "cache", "PUSH": "1"}
    assert build(place, "edge", ENGINE="docker", **environment).returncode == 0
    (line,) = asked(place, "build")
    assert f"--cache-from {name}:cache --build-arg BUILDKIT_INLINE_CACHE=1 --tag {name}:cache" in line
    assert f"--tag {name}:t1" in line
    assert asked(place, "push") == [f"push --quiet {name}:t1", f"push --quiet {name}:cache"]
    # Others keep them in another way; a build with these is as it was.
    assert build(place, "edge", ENGINE="podman", **environment).returncode == 0
    assert "cache" not in asked(place, "build")[1]


def test_a_build_that_fails_ends_it(place: Path) -> None:
    done = build(place, TAG="broken")
    assert done.returncode != 0
    assert "step 7 failed" in done.stderr
    assert len(asked(place, "build")) == 2  # migrations, then the edge
