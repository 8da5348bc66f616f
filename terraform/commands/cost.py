"""What environments cost a month: asleep, working and at their ceiling, from a table of list prices."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from terraform.commands import inventory
from terraform.commands.inventory import Inventory, NodeGroup

HOURS = 730
"""A month, as AWS counts it."""
FOLDER = Path(__file__).parents[1] / "cost"
_GPU = "gpu"


class PriceError(Exception):
    """A price is missing."""


class Hourly(Struct, forbid_unknown_fields=True):
    eks_cluster: float
    nat_gateway: float
    interface_endpoint: float
    public_address: float
    load_balancer: float
    instances: dict[str, float]
    databases: dict[str, float]
    caches: dict[str, float]


class Monthly(Struct, forbid_unknown_fields=True):
    kms_key: float
    secret: float
    zone: float
    disk_gb: float
    database_gb: float
    documents_gb: float
    images_gb: float


class PerGb(Struct, forbid_unknown_fields=True):
    nat: float
    logs: float
    out: float


class Prices(Struct, forbid_unknown_fields=True):
    region: str
    as_of: str
    hourly: Hourly
    monthly: Monthly
    per_gb: PerGb
    spot_share: float


class Usage(Struct, forbid_unknown_fields=True):
    """A working month. gpu_hours: of one node; general_nodes: on average, beside those that always run."""

    gpu_hours: float = 0
    general_nodes: float = 0
    documents_gb: float = 0
    images_gb: float = 0
    volumes_gb: float = 0
    nat_gb: float = 0
    logs_gb: float = 0
    out_gb: float = 0


def bill(what: Inventory, prices: Prices, usage: Usage, nodes: Mapping[str, float]) -> dict[str, float]:
    """Dollars a month by line. `nodes`: dollars of nodes, by pool. Raises PriceError."""
    hourly, monthly, standby = prices.hourly, prices.monthly, 2 if what.database.standby else 1
    database = _price(hourly.databases, what.database.type) * HOURS + what.database.disk_gb * monthly.database_gb
    addresses = (what.public_addresses + 3) * hourly.public_address  # three more are the load balancer's
    return {
        "control plane": what.clusters * hourly.eks_cluster * HOURS,
        "general nodes": nodes["general"],
        "GPU nodes": nodes[_GPU],
        "model volumes": usage.volumes_gb * monthly.disk_gb,
        "Postgres": database * standby,
        "Valkey": _price(hourly.caches, what.cache.type) * what.cache.nodes * HOURS,
        "network": (
            what.nat_gateways * hourly.nat_gateway
            + what.interface_endpoints * hourly.interface_endpoint
            + hourly.load_balancer
            + addresses
        )
        * HOURS
        + usage.nat_gb * prices.per_gb.nat
        + usage.out_gb * prices.per_gb.out,
        "documents, images, logs": usage.documents_gb * monthly.documents_gb
        + usage.images_gb * monthly.images_gb
        + usage.logs_gb * prices.per_gb.logs,
        "keys, secrets, zone": what.kms_keys * monthly.kms_key
        + what.secrets * monthly.secret
        + what.zones * monthly.zone,
    }


def asleep(what: Inventory, prices: Prices, usage: Usage) -> dict[str, float]:
    """Nobody talks to it: pools at their min; what is stored stays."""
    nodes = {
        pool: sum(_node(group, prices) * HOURS * group.min for group in what.node_groups if group.pool == pool)
        for pool in ("general", _GPU)
    }
    stored = Usage(documents_gb=usage.documents_gb, images_gb=usage.images_gb, volumes_gb=usage.volumes_gb)
    return bill(what, prices, stored, nodes)


def working(what: Inventory, prices: Prices, usage: Usage) -> dict[str, float]:
    """A month as `usage` says; nodes beyond the min are bought where the pool is cheapest to wake: its first group."""
    general = [group for group in what.node_groups if group.pool == "general"]
    [first, *_] = [group for group in what.node_groups if group.pool == _GPU]
    nodes = {
        "general": sum(_node(group, prices) * HOURS * group.min for group in general)
        + _node(general[0], prices) * HOURS * usage.general_nodes,
        _GPU: _node(first, prices) * usage.gpu_hours,
    }
    return bill(what, prices, usage, nodes)


def ceiling(what: Inventory, prices: Prices, usage: Usage) -> dict[str, float]:
    """The most that nodes can cost: every pool at its max all month."""
    nodes = {
        pool: sum(_node(group, prices) * HOURS * group.max for group in what.node_groups if group.pool == pool)
        for pool in ("general", _GPU)
    }
    return bill(what, prices, usage, nodes)


def _node(group: NodeGroup, prices: Prices) -> float:
    """Dollars an hour of one node with its disk."""
    share = prices.spot_share if group.spot else 1
    return _price(prices.hourly.instances, group.type) * share + group.disk_gb * prices.monthly.disk_gb / HOURS


def _price(table: Mapping[str, float], name: str) -> float:
    try:
        return table[name]
    except KeyError:
        raise PriceError(f"terraform/cost/prices.yaml has no price for {name}") from None


def page(environments: Mapping[str, Inventory], usages: Mapping[str, Usage], prices: Prices) -> str:
    """docs/cost.md."""
    bills = {
        name: (
            asleep(what, prices, usages.get(name, Usage())),
            working(what, prices, usages.get(name, Usage())),
            ceiling(what, prices, usages.get(name, Usage())),
        )
        for name, what in environments.items()
    }
    sections = [(FOLDER / "page.md").read_text().format(region=prices.region, as_of=prices.as_of)]
    totals = [
        [name, *(_usd(sum(month.values())) for month in months), _usd(months[0]["GPU nodes"])]
        for name, months in bills.items()
    ]
    sections.append(_table(["environment", "asleep", "working month", "ceiling", "of asleep: GPU nodes"], totals))
    for name, months in bills.items():
        rows = [[line, *(_usd(month[line]) for month in months)] for line in months[0]]
        rows.append(["**total**", *(f"**{_usd(sum(month.values()))}**" for month in months)])
        groups = "; ".join(_words(group) for group in environments[name].node_groups)
        sections.append(f"## {name}\n\nNodes: {groups}.\n\nA working month: {_usage(usages.get(name, Usage()))}.\n")
        sections.append(_table(["US dollars a month", "asleep", "working", "ceiling"], rows))
    return "\n".join(sections)


def _words(group: NodeGroup) -> str:
    return f"{group.pool} {group.type}{' spot' if group.spot else ''} {group.min} to {group.max}"


def _usage(usage: Usage) -> str:
    given: dict[str, Any] = msgspec.to_builtins(usage)
    return ", ".join(f"{name.replace('_gb', ' GB').replace('_', ' ')} {value:g}" for name, value in given.items())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _usd(value: float) -> str:
    return f"{value:,.0f}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where prices, usage and environments are")


def answer(arguments: argparse.Namespace) -> str:
    """The page. Raises PriceError, OSError."""
    folder: Path = arguments.folder
    try:
        prices = msgspec.yaml.decode((folder / "prices.yaml").read_bytes(), type=Prices)
        usages = msgspec.yaml.decode((folder / "usage.yaml").read_bytes(), type=dict[str, Usage])
        environments = inventory.read((folder / "environments.yaml").read_bytes())
    except msgspec.ValidationError as error:
        raise PriceError(f"{folder}: {error}") from error
    return page(environments, usages, prices)
