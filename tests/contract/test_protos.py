"""The checks of proto/ fail when what they guard is broken."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIELD = "  string tool_call_id = 1;\n  // A fragment"


def break_a_field(copy: Path) -> None:
    path = copy / "proto/dormouse/agent/v1/run_event.proto"
    text = path.read_text()
    assert FIELD in text
    path.write_text(text.replace(FIELD, FIELD.replace("string", "bytes")))


def break_the_style(copy: Path) -> None:
    path = copy / "proto/dormouse/tool/v1/tool.proto"
    path.write_text(path.read_text() + "\nmessage badly_named {}\n")


def edit_a_stub(copy: Path) -> None:
    path = copy / "libs/stubs/src/dormouse/tool/v1/tool_pb2.py"
    path.write_text(path.read_text() + "# edited\n")


def check(copy: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BIN": str(Path(sys.executable).parent)}
    return subprocess.run(["bash", "proto/check.sh"], cwd=copy, env=environment, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("proto", "libs/stubs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        pytest.param(break_a_field, "changed type", id="breaking change"),
        pytest.param(break_the_style, "PascalCase", id="style"),
        pytest.param(edit_a_stub, "make proto", id="drift"),
    ],
)
def test_the_check_refuses(damage: Callable[[Path], None], complaint: str, copy: Path) -> None:
    damage(copy)
    outcome = check(copy)
    assert outcome.returncode != 0
    assert complaint in outcome.stdout + outcome.stderr
