"""Every module's own tests: plans with a mocked provider."""

from pathlib import Path

import pytest

from tests.terraform.conftest import Copy, Dev
from tests.terraform.runner import FOLDER

MODULES = sorted(folder.parent.relative_to(FOLDER) for folder in FOLDER.glob("**/tests") if folder.parent != FOLDER)


@pytest.mark.parametrize("module", MODULES, ids=str)
async def test_the_module_plans_what_its_tests_say(module: Path, attached: Copy, dev: Dev) -> None:
    folder = attached.folder / module
    await attached.terraform("init", "-backend=false", cwd=folder)
    result = await attached.terraform("test", cwd=folder, time_limit_s=120)
    print(f"{module}: {result.seconds:.1f} s, {result.output.strip().splitlines()[-1]}")
    assert "0 failed" in result.output, result.output


async def test_the_code_is_formatted(attached: Copy) -> None:
    await attached.terraform("fmt", "-check", "-recursive", cwd=attached.folder)
