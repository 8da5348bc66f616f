"""Plans against the simulated account, of what a mocked provider cannot plan: roots and examples that draw secrets.

`dev` is asked for so that it is applied beside them.
"""

import json
from pathlib import Path

import pytest

from terraform.commands import inventory
from tests.terraform.conftest import Copy, Dev
from tests.terraform.runner import FOLDER
from tests.terraform.simulation import settle


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
async def test_costs_count_what_is_planned(environment: str, attached: Copy, dev: Dev, tmp_path: Path) -> None:
    folder = settle(attached.folder, environment)
    plan = str(tmp_path / "plan")
    await attached.terraform("init", cwd=folder)
    await attached.terraform("plan", f"-out={plan}", "-refresh=false", cwd=folder)
    shown = json.loads((await attached.terraform("show", "-json", plan, cwd=folder)).output)
    told = inventory.read((FOLDER / "cost/environments.yaml").read_bytes())
    assert inventory.of_plan(shown) == told[environment]


@pytest.mark.parametrize("module", ["secrets", "platform"])
async def test_the_example_that_draws_secrets_can_be_planned(module: str, attached: Copy, dev: Dev) -> None:
    folder = attached.folder / "modules" / module / "example"
    await attached.terraform("init", cwd=folder)
    planned = await attached.terraform("plan", "-refresh=false", cwd=folder)
    assert "Plan: " in planned.output
