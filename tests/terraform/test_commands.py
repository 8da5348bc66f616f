"""Outputs to values, manifests and scripts; costs. Without Terraform."""

import asyncio
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from terraform.commands import contract, cost, helm_values, inventory, manifests
from terraform.commands.contract import ContractError, Platform
from tests.terraform.runner import FOLDER, ROOT

OUTPUTS = Path(__file__).with_name("outputs.json")
"""What a made-up environment on a made-up cloud would tell."""


@pytest.fixture
def platform() -> Platform:
    return contract.decode(OUTPUTS.read_bytes())


def _changed(**changes: Any) -> str:
    return json.dumps(json.loads(OUTPUTS.read_text()) | changes)


def test_the_schema_is_that_of_the_code() -> None:
    assert json.loads((FOLDER / "contract/outputs.schema.json").read_text()) == contract.schema()


def test_the_schema_takes_what_the_code_takes() -> None:
    jsonschema.validate(json.loads(OUTPUTS.read_text()), contract.schema())


def test_a_field_that_is_missing_is_named() -> None:
    outputs = json.loads(OUTPUTS.read_text())
    del outputs["redis"]["host"]
    with pytest.raises(ContractError, match=r"missing required field `host` - at `\$\.redis`"):
        contract.decode(json.dumps(outputs))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(outputs, contract.schema())


def test_a_field_that_nobody_reads_is_refused() -> None:
    with pytest.raises(ContractError, match="unknown field `databse`"):
        contract.decode(_changed(databse={}))


def test_another_version_of_the_contract_is_refused() -> None:
    with pytest.raises(ContractError, match="follow contract 2; this is 1"):
        contract.decode(_changed(contract=2))


def test_values_fit_the_chart(platform: Platform) -> None:
    schema = json.loads((ROOT / "charts/dormouse/values.schema.json").read_text())
    values = helm_values.values(platform)
    jsonschema.validate(values, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values | {"postgres": {"existingSecrets": "misspelt"}}, schema)


def test_values_hold_places_of_secrets_and_not_secrets(platform: Platform) -> None:
    values = helm_values.values(platform)
    made = {manifest["metadata"]["name"] for manifest in manifests.of_secrets(platform)}
    named = {values["postgres"]["existingSecret"], values["redis"]["existingSecret"]}
    named |= {source["secretRef"]["name"] for source in values["functions"]["tool"]["envFrom"]}
    assert named <= made


def test_passwords_are_escaped_in_urls(platform: Platform) -> None:
    [postgres] = [
        found for found in manifests.of_secrets(platform) if found["metadata"]["name"] == helm_values.POSTGRES
    ]
    template = postgres["spec"]["target"]["template"]["data"]
    assert template["owner-url"] == (
        "postgresql://dormouse_owner:{{ .owner | urlquery }}@postgres.internal:5432/dormouse"
        "?sslmode=verify-full&sslrootcert=/etc/dormouse/postgres/ca.pem"
    )
    assert postgres["spec"]["data"][1]["remoteRef"] == {"key": "owner-of-postgres", "property": "password"}


def test_the_role_job_keeps_to_the_restricted_standard(platform: Platform) -> None:
    [job] = [manifest for manifest in manifests.of_secrets(platform) if manifest["kind"] == "Job"]
    pod = job["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_volumes_on_aws_have_a_class_that_is_encrypted() -> None:
    made = manifests.of_cluster(contract.decode(_changed(cloud="aws")), email="team@example.org")
    [storage] = [manifest for manifest in made if manifest["kind"] == "StorageClass"]
    assert storage["metadata"]["annotations"] == {"storageclass.kubernetes.io/is-default-class": "true"}
    assert storage["parameters"] == {"type": "gp3", "encrypted": "true"}


async def _plan(script: str, tmp_path: Path, **env: str) -> list[str]:
    """The commands that a script would run."""
    process = await asyncio.create_subprocess_exec(
        FOLDER / "install" / script,
        env={"PATH": os.environ["PATH"], "PLAN": "1", "OUTPUTS": str(OUTPUTS), "PYTHON": _python(), **env},
        cwd=tmp_path,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return [line for line in output.decode().splitlines() if re.match(r"(kubectl|helm|save|enter) ", line)]


def _python() -> str:
    return str(ROOT / ".venv/bin/python") if (ROOT / ".venv/bin/python").exists() else "python3"


async def test_add_ons_are_installed_in_pinned_versions(tmp_path: Path) -> None:
    commands = await _plan("addons.sh", tmp_path, EMAIL="team@example.org")
    pinned = dict(
        line.split("=")
        for line in (FOLDER / "install/versions.env").read_text().splitlines()
        if not line.startswith("#")
    )
    said = "\n".join(commands)
    assert [name for name, version in pinned.items() if version not in said] == []
    charts = [shlex.split(command) for command in commands if command.startswith("helm ")]
    assert len(charts) == 6
    assert all("--version" in command and "--install" in command for command in charts)
    manifests_from_afar = [command for command in commands if "https://" in command and command.startswith("kubectl")]
    assert all(re.search(r"/v?[a-z-]*v?\d+\.\d+\.\d+/", command) for command in manifests_from_afar)


async def test_the_chart_comes_after_its_secrets_and_its_role(tmp_path: Path) -> None:
    commands = await _plan("chart.sh", tmp_path, TAG="1.2.3", VALUES=str(OUTPUTS))
    order = [
        next(index for index, line in enumerate(commands) if word in line)
        for word in ("externalsecret", "job/", "helm")
    ]
    assert order == sorted(order)
    assert "image.tag=1.2.3" in commands[order[-1]]


def test_the_cost_page_is_that_of_the_table() -> None:
    environments = inventory.read((FOLDER / "cost/environments.yaml").read_bytes())
    prices = msgspec.yaml.decode((FOLDER / "cost/prices.yaml").read_bytes(), type=cost.Prices)
    usages = msgspec.yaml.decode((FOLDER / "cost/usage.yaml").read_bytes(), type=dict[str, cost.Usage])
    assert (ROOT / "docs/cost.md").read_text() == cost.page(environments, usages, prices)
    for name, what in environments.items():
        asleep = cost.asleep(what, prices, usages[name])
        assert asleep["GPU nodes"] == 0
        assert sum(asleep.values()) < sum(cost.working(what, prices, usages[name]).values())
        assert sum(cost.working(what, prices, usages[name]).values()) < sum(
            cost.ceiling(what, prices, usages[name]).values()
        )


def test_an_instance_without_a_price_is_named() -> None:
    environments = inventory.read((FOLDER / "cost/environments.yaml").read_bytes())
    prices = msgspec.yaml.decode((FOLDER / "cost/prices.yaml").read_bytes(), type=cost.Prices)
    prices.hourly.databases.clear()
    with pytest.raises(cost.PriceError, match=r"prices\.yaml has no price for db\.t4g\.medium"):
        cost.asleep(environments["dev"], prices, cost.Usage())
