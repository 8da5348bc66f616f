"""Helm, pinned, and renderings that tests share."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.charts.rendering import ROOT, Manifest, Render, template

# libyaml's is eight times as fast, where it is there.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@pytest.fixture(scope="session")
def helm() -> str:
    folder = Path(sys.executable).parent.parent / "tools"
    done = subprocess.run([ROOT / "charts" / "install_tools.sh", folder], capture_output=True, text=True, timeout=900)
    if done.returncode == 3:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return str(folder / "helm")


@pytest.fixture(scope="session")
def render(helm: str) -> Render:
    known: dict[tuple[str, ...], list[Manifest]] = {}

    def rendered(*options: str) -> list[Manifest]:
        if options not in known:
            done = template(helm, *options)
            assert done.returncode == 0, done.stderr
            known[options] = [document for document in yaml.load_all(done.stdout, Loader=_Loader) if document]
        return known[options]

    return rendered
