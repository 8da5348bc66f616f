"""`python -m terraform.commands`: values, cluster, secrets, get, schema, cost."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml

from terraform.commands import contract, cost, helm_values, manifests

_MADE = "# Made from the outputs of this environment; make it anew instead of editing it.\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m terraform.commands", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    for name, what in (
        ("values", "Helm values of an environment"),
        ("cluster", "manifests: who signs, where secrets are, how people come in"),
        ("secrets", "manifests: the chart's Secrets and the services' role in the database"),
        ("get", "one value of the outputs, for shell scripts"),
    ):
        action = actions.add_parser(name, help=what)
        action.add_argument("outputs", type=Path, help="file with `terraform output -json platform`")
        if name == "cluster":
            action.add_argument("--email", required=True, help="whom the certificate authority writes to")
        if name == "get":
            action.add_argument("field", help="for instance cluster.name; a list is printed one item a line")
    actions.add_parser("schema", help="JSON Schema of the outputs")
    cost.add_arguments(actions.add_parser("cost", help="what environments cost"))
    arguments = parser.parse_args()
    try:
        sys.stdout.write(_answer(arguments))
    except (contract.ContractError, cost.PriceError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _answer(arguments: argparse.Namespace) -> str:
    if arguments.action == "schema":
        return json.dumps(contract.schema(), indent=2) + "\n"
    if arguments.action == "cost":
        return cost.answer(arguments)
    platform = contract.decode(arguments.outputs.read_bytes())
    if arguments.action == "values":
        return _MADE + yaml.safe_dump(helm_values.values(platform), sort_keys=False)
    if arguments.action == "cluster":
        return _MADE + yaml.safe_dump_all(manifests.of_cluster(platform, email=arguments.email), sort_keys=False)
    if arguments.action == "secrets":
        return _MADE + yaml.safe_dump_all(manifests.of_secrets(platform), sort_keys=False)
    return _field(platform, arguments.field)


def _field(platform: contract.Platform, path: str) -> str:
    value: Any = msgspec.to_builtins(platform)
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            raise contract.ContractError(f"there is no {path} in the outputs")
        value = value[name]
    lines = value if isinstance(value, list) else [value]
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
