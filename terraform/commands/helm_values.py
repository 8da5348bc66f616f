"""Outputs of an environment to values of the chart and manifests of the add-ons."""

from typing import Any

from terraform.commands.contract import Platform, PostgresRole, SecretReference

ISSUER = "dormouse"
"""The ClusterIssuer that `make env-addons` makes."""
STORE = "dormouse"
"""The ClusterSecretStore that `make env-addons` makes."""
GATEWAY_CLASS = "dormouse"
"""The GatewayClass that `make env-addons` makes."""
CERTIFICATES = "dormouse-postgres-certificates"
"""The ConfigMap that `make env-install` makes of the database's certificates."""


def values(platform: Platform) -> dict[str, Any]:
    """The chart's values, without an image tag: that is the release's business. docs/environment-contract.md."""
    postgres = platform.postgres
    certificates = {"configMap": CERTIFICATES, "key": "ca.pem"} if postgres.certificates_url else {}
    return {
        "environment": platform.environment,
        "images": {"registry": platform.images.prefix},
        "ingress": {"kind": "gateway", "className": GATEWAY_CLASS, "host": platform.host, "issuer": ISSUER},
        "externalSecrets": {"enabled": True, "store": {"kind": "ClusterSecretStore", "name": STORE}},
        "postgres": {
            "host": postgres.host,
            "port": postgres.port,
            "database": postgres.database,
            "tlsMode": postgres.tls_mode,
            "certificates": certificates,
            "owner": _role(postgres.owner),
            "application": _role(postgres.application),
        },
        "redis": {
            "host": platform.redis.host,
            "port": platform.redis.port,
            "tls": platform.redis.tls,
            "password": _remote(platform.redis.password),
        },
        "keyPepper": _remote(platform.secrets.key_pepper),
        "toolSecrets": {_variable(name): _remote(place) for name, place in platform.secrets.provided.items()},
        "files": {"url": platform.documents.url, "environment": platform.documents.environment},
        "serviceAccounts": {
            component: {"name": identity.service_account, "annotations": identity.annotations}
            for component, identity in platform.identities.items()
            if identity.namespace == platform.namespace
        },
        "pools": {
            "general": {
                "nodeSelector": platform.pools.general.node_selector,
                "tolerations": platform.pools.general.tolerations,
            },
            "gpu": {
                "nodeSelector": platform.pools.gpu.node_selector,
                "tolerations": platform.pools.gpu.tolerations,
                "maxNodes": platform.pools.gpu.max_nodes,
            },
        },
    }


def manifests(platform: Platform, *, email: str) -> list[dict[str, Any]]:
    """What add-ons have to know of this environment: who signs certificates, where secrets are, how people come in.

    email: whom the certificate authority writes to before a certificate ends.
    """
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": platform.namespace,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        },
    }
    store = {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ClusterSecretStore",
        "metadata": {"name": STORE},
        "spec": {
            "provider": platform.secrets.store,
            # Other namespaces of the cluster are none of its business.
            "conditions": [{"namespaces": [platform.namespace]}],
        },
    }
    issuer = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "ClusterIssuer",
        "metadata": {"name": ISSUER},
        "spec": {
            "acme": {
                "server": "https://acme-v02.api.letsencrypt.org/directory",
                "email": email,
                "privateKeySecretRef": {"name": f"{ISSUER}-acme-account"},
                "solvers": [{"selector": {"dnsZones": [platform.tls.zone]}, "dns01": platform.tls.dns01}],
            }
        },
    }
    proxy = {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyProxy",
        "metadata": {"name": GATEWAY_CLASS, "namespace": "envoy-gateway-system"},
        "spec": {
            "provider": {
                "type": "Kubernetes",
                "kubernetes": {
                    "envoyDeployment": {"replicas": 2},
                    # Local keeps the client's address, which limits by address need.
                    "envoyService": {"externalTrafficPolicy": "Local", "annotations": _balancer(platform.cloud)},
                },
            }
        },
    }
    gateway_class = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": GATEWAY_CLASS},
        "spec": {
            "controllerName": "gateway.envoyproxy.io/gatewayclass-controller",
            "parametersRef": {
                "group": "gateway.envoyproxy.io",
                "kind": "EnvoyProxy",
                "name": GATEWAY_CLASS,
                "namespace": "envoy-gateway-system",
            },
        },
    }
    return [namespace, store, issuer, proxy, gateway_class]


def _balancer(cloud: str) -> dict[str, str]:
    return {"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"} if cloud == "aws" else {}


def _remote(place: SecretReference) -> dict[str, str]:
    return {"secret": place.secret, "property": place.property}


def _role(role: PostgresRole) -> dict[str, Any]:
    return {"role": role.role, "password": {"secret": role.secret, "property": role.property}}


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")
