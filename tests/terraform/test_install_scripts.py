"""The scripts of an installation; in the place of kubectl, helm and the cloud's own are programs that take notes.

What a real cluster makes of it is not tested here.
"""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.terraform.runner import FOLDER

OUTPUTS = Path(__file__).with_name("outputs.json")
PROGRAMS = ("kubectl", "helm", "curl", "enter", "save")
FAKE = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
case "$*" in
  *"$FAILS"*) echo "no" >&2; exit 1 ;;
  *"--filename -"*) cat > "$CALLS.applied" ;;
  "get secret "*) printf '{"pepper":"cGVwcGVy"}' ;;
  keys*) cat > "$CALLS.saved" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    errors: str
    calls: list[str]
    applied: str
    saved: str


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in PROGRAMS:
        (folder / name).write_text(FAKE)
        (folder / name).chmod(0o755)
    return folder


async def _run(script: str, programs: Path, tmp_path: Path, *, fails: str = "\0", **env: str) -> Outcome:
    calls = tmp_path / "calls"
    process = await asyncio.create_subprocess_exec(
        FOLDER / "install" / script,
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "CALLS": str(calls),
            "FAILS": fails.replace("\0", "nothing fails"),
            "OUTPUTS": str(OUTPUTS),
            "PYTHON": sys.executable,
            "KUBECONFIG": str(tmp_path / "kubeconfig"),
            **env,
        },
        cwd=tmp_path,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        _, errors = await process.communicate()

    def read(name: str) -> str:
        path = tmp_path / name
        return path.read_text() if path.exists() else ""

    code = process.returncode if process.returncode is not None else -1
    return Outcome(code, errors.decode(), read("calls").splitlines(), read("calls.applied"), read("calls.saved"))


async def test_add_ons_end_with_what_they_have_to_know(programs: Path, tmp_path: Path) -> None:
    done = await _run("addons.sh", programs, tmp_path, EMAIL="team@example.org")
    assert done.code == 0, done.errors
    assert done.calls[0] == "enter cluster dormouse-trial"
    assert "kind: ClusterIssuer" in done.applied
    assert "email: team@example.org" in done.applied


async def test_an_add_on_that_fails_ends_the_installation(programs: Path, tmp_path: Path) -> None:
    done = await _run("addons.sh", programs, tmp_path, fails="upgrade --install cert-manager", EMAIL="team@example.org")
    assert done.code != 0
    assert not any("external-secrets" in call for call in done.calls)


async def test_the_chart_is_installed_and_its_keys_are_saved(programs: Path, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.touch()
    done = await _run("chart.sh", programs, tmp_path, TAG="1.2.3", VALUES=str(values))
    assert done.code == 0, done.errors
    assert done.saved == '{"pepper":"cGVwcGVy"}'
    [helm] = [call for call in done.calls if call.startswith("helm")]
    assert f"--values {values} --set image.tag=1.2.3" in helm


async def test_no_chart_before_the_services_have_their_role(programs: Path, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.touch()
    done = await _run("chart.sh", programs, tmp_path, fails="job/dormouse-postgres-role", TAG="1", VALUES=str(values))
    assert done.code != 0
    assert not any(call.startswith("helm") for call in done.calls)


async def test_values_that_are_missing_are_named(programs: Path, tmp_path: Path) -> None:
    done = await _run("chart.sh", programs, tmp_path, TAG="1", VALUES="nowhere.yaml")
    assert done.code != 0
    assert "there is no nowhere.yaml" in done.errors
