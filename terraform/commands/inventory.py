"""What a plan would buy: the countable things of an environment that cost money while they stand there."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct


class NodeGroup(Struct, frozen=True):
    pool: str
    spot: bool
    type: Annotated[str, Meta(description="The first of the types: what the autoscaler counts with.")]
    min: int
    max: int
    disk_gb: int


class Database(Struct, frozen=True):
    type: str
    standby: bool
    disk_gb: int


class Cache(Struct, frozen=True):
    type: str
    nodes: int


class Inventory(Struct, frozen=True, kw_only=True):
    clusters: int
    nat_gateways: int
    interface_endpoints: Annotated[int, Meta(description="Endpoints times the zones that they are in.")]
    public_addresses: int
    zones: int
    kms_keys: int
    secrets: int
    node_groups: list[NodeGroup]
    database: Database
    cache: Cache


def of_plan(plan: Mapping[str, Any]) -> Inventory:
    """`plan` is `terraform show -json` of a plan for an empty account. Raises KeyError where it is not."""
    resources = list(_resources(plan["planned_values"]["root_module"]))
    by_type: dict[str, list[dict[str, Any]]] = {}
    for resource in resources:
        by_type.setdefault(resource["type"], []).append(resource)

    def values(kind: str) -> list[dict[str, Any]]:
        return [resource["values"] for resource in by_type.get(kind, [])]

    subnets = sum(1 for resource in by_type["aws_subnet"] if resource["name"] == "private")
    interfaces = [endpoint for endpoint in values("aws_vpc_endpoint") if endpoint["vpc_endpoint_type"] == "Interface"]
    disks = {template["name"]: _disk(template) for template in values("aws_launch_template")}
    [database], [cache] = values("aws_db_instance"), values("aws_elasticache_replication_group")
    return Inventory(
        clusters=len(values("aws_eks_cluster")),
        nat_gateways=len(values("aws_nat_gateway")),
        interface_endpoints=len(interfaces) * subnets,
        public_addresses=len(values("aws_eip")),
        zones=len(values("aws_route53_zone")),
        kms_keys=len(values("aws_kms_key")),
        # The owner's password is a secret too, which RDS makes.
        secrets=len(values("aws_secretsmanager_secret")) + 1,
        node_groups=sorted(
            (_group(group, disks) for group in values("aws_eks_node_group")), key=lambda group: (group.pool, group.spot)
        ),
        database=Database(database["instance_class"], database["multi_az"], database["allocated_storage"]),
        cache=Cache(cache["node_type"], cache["num_cache_clusters"]),
    )


def _group(group: Mapping[str, Any], disks: Mapping[str, int]) -> NodeGroup:
    [size] = group["scaling_config"]
    pool = group["labels"]["dormouse.dev/pool"]
    return NodeGroup(
        pool=pool,
        spot=group["capacity_type"] == "SPOT",
        type=group["instance_types"][0],
        min=size["min_size"],
        max=size["max_size"],
        disk_gb=disks[f"{group['cluster_name']}-{pool}"],
    )


def _disk(template: Mapping[str, Any]) -> int:
    return int(template["block_device_mappings"][0]["ebs"][0]["volume_size"])


def _resources(module: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (resource for resource in module.get("resources", []) if resource["mode"] == "managed")
    for child in module.get("child_modules", []):
        yield from _resources(child)


def read(text: bytes) -> dict[str, Inventory]:
    """Inventories by environment, as `write` has written them."""
    return msgspec.yaml.decode(text, type=dict[str, Inventory])


def write(inventories: Mapping[str, Inventory]) -> bytes:
    return msgspec.yaml.encode(dict(inventories))
