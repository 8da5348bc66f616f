"""What every folder of terraform/ has, without running Terraform."""

import re
from pathlib import Path

import pytest

from tests.terraform.runner import FOLDER

MODULES = sorted((FOLDER / "modules").iterdir())
ROOTS = [FOLDER / "bootstrap", *sorted((FOLDER / "envs").iterdir())]
ENVIRONMENT_LINES = 150
_NAME = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("module", MODULES, ids=lambda folder: folder.name)
def test_a_module_has_all_its_files(module: Path) -> None:
    wanted = [
        "main.tf",
        "variables.tf",
        "outputs.tf",
        "versions.tf",
        "README.md",
        ".terraform.lock.hcl",
        "example/main.tf",
    ]
    assert [name for name in wanted if not (module / name).is_file()] == []
    tests = (module / "tests" / f"{module.name}.tftest.hcl").read_text()
    assert "mock_provider" in tests
    assert "expect_failures" in tests


@pytest.mark.parametrize("module", MODULES, ids=lambda folder: folder.name)
def test_a_readme_shows_the_example_that_is_tested(module: Path) -> None:
    example = (module / "example/main.tf").read_text().rstrip()
    assert f"```hcl\n{example}\n```" in (module / "README.md").read_text()


@pytest.mark.parametrize("folder", [*MODULES, *ROOTS], ids=lambda folder: folder.name)
def test_variables_and_outputs_say_what_they_are(folder: Path) -> None:
    text = "\n".join(path.read_text() for path in sorted(folder.glob("*.tf")))
    silent = [name for _, name, body in _NAME.findall(text) if "description" not in body]
    assert silent == []


def test_environments_are_compositions_of_a_page() -> None:
    for path in (FOLDER / "envs").glob("*/*.tf"):
        text = path.read_text()
        assert len(text.splitlines()) < ENVIRONMENT_LINES, path
        assert 'resource "' not in text, path


def test_environments_differ_in_figures_alone() -> None:
    for name in ("variables.tf", "outputs.tf"):
        assert len({(folder / name).read_text() for folder in (FOLDER / "envs").iterdir()}) == 1


def test_one_lock_file_serves_all_and_names_no_mirror() -> None:
    folders = [*MODULES, *ROOTS]
    assert len({(folder / ".terraform.lock.hcl").read_text() for folder in folders}) == 1
    lock = (folders[0] / ".terraform.lock.hcl").read_text()
    assert re.findall(r'provider "([^"]+)"', lock) == ["registry.terraform.io/hashicorp/aws"]
    assert "://" not in lock
    assert len(re.findall(r'"h1:', lock)) >= 2
    assert len(re.findall(r'"zh:[0-9a-f]{64}"', lock)) >= 10


def test_providers_and_terraform_are_pinned_everywhere() -> None:
    for folder in [*MODULES, *ROOTS]:
        text = (folder / "versions.tf").read_text()
        assert 'required_version = ">= 1.11, < 2.0"' in text, folder
        assert 'version = "~> 5.100"' in text, folder
