"""Outputs of an environment to values of charts/dormouse."""

from typing import Any

from terraform.commands.contract import Platform

GATEWAY = "dormouse"
"""The Gateway that `make env-addons` makes, and its class, issuer and store of secrets."""
POSTGRES = "dormouse-postgres"
"""The Secret with the database's URLs."""
REDIS = "dormouse-redis"
"""The Secret with the cache's URL."""
CERTIFICATES = "dormouse-postgres-certificates"
"""The ConfigMap with the authorities that sign the database's certificate; `make env-install` makes it."""
TOOLS = "dormouse-tool-secrets"
"""The Secret with what people have put in, as variables of tool_fn."""


def values(platform: Platform) -> dict[str, Any]:
    """The chart's values, without an image tag: that is the release's business. docs/environment-contract.md.

    The Secrets that they name are made by `manifests.of_secrets`, from the parts that the cloud's store keeps: the
    database changes its owner's password by itself, so no entry of the store could hold a whole URL.
    """
    gpu = platform.pools.gpu
    found: dict[str, Any] = {
        "image": {"registry": platform.images.prefix},
        "postgres": {
            "existingSecret": POSTGRES,
            "applicationRole": platform.postgres.application.role,
            "cidrs": list(platform.networks),
            "port": platform.postgres.port,
            "certificates": CERTIFICATES if platform.postgres.certificates_url else "",
        },
        "redis": {"existingSecret": REDIS, "cidrs": list(platform.networks), "port": platform.redis.port},
        "files": {"place": platform.documents.url, "env": platform.documents.environment},
        "edge": {
            "serviceAccountAnnotations": platform.identities["edge"].annotations,
            # The gateway's pods are in these networks, and policies let nobody else call the edge: what it says of a
            # client's address is the truth. Without it all clients would share one address and its limits.
            "trustedProxies": list(platform.networks),
        },
        # `make env-addons` brings KEDA: without a pod the pool has no node.
        "ollama": {
            "nodeSelector": gpu.node_selector,
            "tolerations": gpu.tolerations,
            "scaleToZero": {"enabled": True},
        },
        "gateway": {
            "enabled": True,
            "parentRefs": [{"name": GATEWAY, "sectionName": "https"}],
            "hostnames": [platform.host],
        },
        "networkPolicies": {"edgeClients": [{"kubernetes.io/metadata.name": "envoy-gateway-system"}]},
    }
    if platform.secrets.provided:
        found["functions"] = {"tool": {"envFrom": [{"secretRef": {"name": TOOLS}}]}}
    return found
