"""What an environment tells the chart: the output `platform`, the same for every cloud.

docs/environment-contract.md explains it; terraform/contract/outputs.schema.json is generated from here
(`python -m terraform.commands schema`).
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

VERSION = 1

Name = Annotated[str, Meta(min_length=1)]


class ContractError(Exception):
    """The outputs are not what this version of the contract says; names the field."""


class _Part(Struct, forbid_unknown_fields=True):
    """Every part of the contract is strict: what the chart would not read must not look as if it did something."""


class SecretReference(_Part):
    """Where External Secrets finds a value, never the value."""

    secret: Annotated[str, Meta(min_length=1, description="Name or id of the secret in the cloud's store.")]
    property: Annotated[str, Meta(description="Field of the secret's JSON; empty: the whole secret.")]


class Cluster(_Part):
    name: Name
    endpoint: Annotated[str, Meta(description="URL of the API server.")]
    kubernetes_version: Annotated[str, Meta(pattern=r"^1\.[0-9]+$")]
    credentials: Annotated[
        list[str], Meta(min_length=1, description="Command that writes the cluster's credentials to $KUBECONFIG.")
    ]


class Tls(_Part):
    zone: Name
    name_servers: Annotated[list[str], Meta(description="NS records that the parent zone needs.")]
    dns01: Annotated[
        dict[str, Any], Meta(description="cert-manager's DNS-01 solver: one provider and its settings.", min_length=1)
    ]
    certificate: Annotated[str, Meta(description="The cloud's own certificate for load balancers; empty: none.")]


class PostgresRole(_Part):
    role: Name
    secret: Name
    property: str


class Postgres(_Part):
    host: Name
    port: Annotated[int, Meta(ge=1, le=65535)]
    database: Name
    owner: Annotated[PostgresRole, Meta(description="Owns the tables; the migrations connect as this role.")]
    application: Annotated[PostgresRole, Meta(description="What the services connect as; `make env-install` makes it.")]
    tls_mode: Annotated[str, Meta(pattern="^(require|verify-full)$", description="libpq's sslmode.")]
    certificates_url: Annotated[
        str, Meta(description="PEM bundle of the authorities that sign its certificate; empty: those that images know.")
    ]


class Redis(_Part):
    host: Name
    port: Annotated[int, Meta(ge=1, le=65535)]
    tls: bool
    password: SecretReference


class Documents(_Part):
    url: Annotated[str, Meta(pattern="^s3://.+/.+", description="DORMOUSE_FILES of the edge.")]
    environment: Annotated[dict[str, str], Meta(description="Variables that the edge's S3 client needs; no secrets.")]


class Images(_Part):
    host: Annotated[str, Meta(min_length=1, description="The registry to log in to.")]
    prefix: Annotated[str, Meta(min_length=1, description="An image is prefix/part:tag.")]
    repositories: Annotated[dict[str, str], Meta(min_length=1)]


class Secrets(_Part):
    store: Annotated[
        dict[str, Any], Meta(description="Provider of External Secrets' ClusterSecretStore.", min_length=1)
    ]
    provided: Annotated[dict[str, SecretReference], Meta(description="Secrets that people put in, for tool_fn.")]
    save_keys: Annotated[
        list[str], Meta(min_length=1, description="Command that keeps a copy of the cluster's keys, given on stdin.")
    ]


class Identity(_Part):
    namespace: Name
    service_account: Name
    annotations: Annotated[dict[str, str], Meta(description="What the cloud wants on the service account.")]
    principal: Annotated[str, Meta(description="The role behind it, for people who read logs.")]


class Pool(_Part):
    node_selector: dict[str, str]
    tolerations: list[dict[str, str]]


class GpuPool(Pool):
    max_nodes: Annotated[int, Meta(ge=0)]


class Pools(_Part):
    general: Pool
    gpu: GpuPool


class Platform(_Part):
    """The output `platform` of an environment."""

    contract: Annotated[int, Meta(description="Version of this contract; a change that breaks readers raises it.")]
    environment: Name
    cloud: Name
    region: Name
    namespace: Name
    host: Annotated[str, Meta(min_length=1, description="Public name of the API.")]
    networks: Annotated[list[str], Meta(min_length=1, description="Where database, cache and pods are, as CIDR.")]
    cluster: Cluster
    tls: Tls
    postgres: Postgres
    redis: Redis
    documents: Documents
    images: Images
    secrets: Secrets
    identities: Annotated[dict[str, Identity], Meta(description="By component; edge and external-secrets at least.")]
    pools: Pools


def decode(text: bytes | str) -> Platform:
    """Reads `terraform output -json platform`. Raises ContractError."""
    try:
        platform = msgspec.json.decode(text, type=Platform)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ContractError(f"the output `platform` is not what the contract says: {error}") from error
    if platform.contract != VERSION:
        raise ContractError(f"the outputs follow contract {platform.contract}; this is {VERSION}")
    for component in ("edge", "external-secrets"):
        if component not in platform.identities:
            raise ContractError(f"identities lacks {component}")
    return platform


def schema() -> dict[str, Any]:
    """JSON Schema of the output."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What an environment tells the chart",
        **msgspec.json.schema(Platform),
    }
