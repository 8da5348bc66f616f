"""Outputs of an environment to what the cluster has to know before the chart comes."""

from collections.abc import Mapping
from typing import Any

from terraform.commands.contract import Platform
from terraform.commands.helm_values import CERTIFICATES, GATEWAY, POSTGRES, REDIS, TOOLS

ROLE_JOB = "dormouse-postgres-role"
_ENVOY = "envoy-gateway-system"
_MOUNT = "/etc/dormouse/postgres"
"""Where the chart mounts the ConfigMap of certificates."""
_POSTGRES_IMAGE = "docker.io/library/postgres:17-alpine"

Manifest = dict[str, Any]


def of_cluster(platform: Platform, *, email: str) -> list[Manifest]:
    """Who signs certificates, where secrets are, how people come in. For a cluster that has the add-ons.

    email: whom the certificate authority writes to before a certificate ends.
    """
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    acme = {
        "server": "https://acme-v02.api.letsencrypt.org/directory",
        "email": email,
        "privateKeySecretRef": {"name": f"{GATEWAY}-acme-account"},
        "solvers": [{"selector": {"dnsZones": [platform.tls.zone]}, "dns01": platform.tls.dns01}],
    }
    # Other namespaces of the cluster are none of its business.
    store = {"provider": platform.secrets.store, "conditions": [{"namespaces": [platform.namespace]}]}
    # Local keeps the client's address, which limits by address need.
    service = {"externalTrafficPolicy": "Local", "annotations": _balancer(platform.cloud)}
    proxy = {
        "provider": {
            "type": "Kubernetes",
            "kubernetes": {"envoyDeployment": {"replicas": 2}, "envoyService": service},
        }
    }
    gateway_class = {
        "controllerName": "gateway.envoyproxy.io/gatewayclass-controller",
        "parametersRef": {
            "group": "gateway.envoyproxy.io",
            "kind": "EnvoyProxy",
            "name": GATEWAY,
            "namespace": _ENVOY,
        },
    }
    gateway = {
        "gatewayClassName": GATEWAY,
        "listeners": [
            {
                "name": "https",
                "port": 443,
                "protocol": "HTTPS",
                "hostname": platform.host,
                "tls": {"certificateRefs": [{"name": f"{GATEWAY}-tls"}]},
            }
        ],
    }
    return [
        *_storage(platform.cloud),
        _object("v1", "Namespace", platform.namespace, labels=restricted),
        _object("external-secrets.io/v1", "ClusterSecretStore", GATEWAY, store),
        _object("cert-manager.io/v1", "ClusterIssuer", GATEWAY, {"acme": acme}),
        _object("gateway.envoyproxy.io/v1alpha1", "EnvoyProxy", GATEWAY, proxy, namespace=_ENVOY),
        _object("gateway.networking.k8s.io/v1", "GatewayClass", GATEWAY, gateway_class),
        _object(
            "gateway.networking.k8s.io/v1",
            "Gateway",
            GATEWAY,
            gateway,
            namespace=platform.namespace,
            annotations={"cert-manager.io/cluster-issuer": GATEWAY},
        ),
    ]


def of_secrets(platform: Platform) -> list[Manifest]:
    """What External Secrets makes of the store's parts, and the job that makes the services' role in the database."""
    postgres, redis = platform.postgres, platform.redis
    options = f"sslmode={postgres.tls_mode}"
    if postgres.tls_mode == "verify-full":
        options += f"&sslrootcert={_MOUNT}/ca.pem" if postgres.certificates_url else "&sslrootcert=system"
    place = f"{postgres.host}:{postgres.port}/{postgres.database}?{options}"
    urls = {
        "url": f"postgresql://{postgres.application.role}:{{{{ .application | urlquery }}}}@{place}",
        "owner-url": f"postgresql://{postgres.owner.role}:{{{{ .owner | urlquery }}}}@{place}",
        # For the job below.
        "application-password": "{{ .application }}",
    }
    scheme = "rediss" if redis.tls else "redis"
    cache = {"url": f"{scheme}://:{{{{ .password | urlquery }}}}@{redis.host}:{redis.port}/0"}
    found = [
        _external(
            platform,
            POSTGRES,
            {
                "application": (postgres.application.secret, postgres.application.property),
                "owner": (postgres.owner.secret, postgres.owner.property),
            },
            urls,
        ),
        _external(platform, REDIS, {"password": (redis.password.secret, redis.password.property)}, cache),
    ]
    if provided := platform.secrets.provided:
        variables = {name.upper().replace("-", "_"): (at.secret, at.property) for name, at in provided.items()}
        found.append(_external(platform, TOOLS, variables, {}))
    return [*found, _role_job(platform)]


def _external(
    platform: Platform, name: str, data: Mapping[str, tuple[str, str]], template: Mapping[str, str]
) -> Manifest:
    target: dict[str, Any] = {"name": name}
    if template:
        target["template"] = {"data": dict(template)}
    return _object(
        "external-secrets.io/v1",
        "ExternalSecret",
        name,
        {
            "refreshInterval": "5m",
            "secretStoreRef": {"kind": "ClusterSecretStore", "name": GATEWAY},
            "target": target,
            "data": [
                {"secretKey": key, "remoteRef": {"key": secret} | ({"property": field} if field else {})}
                for key, (secret, field) in data.items()
            ],
        },
        namespace=platform.namespace,
    )


def _role_job(platform: Platform) -> Manifest:
    """Makes the role that the services connect as, and gives it the password of the day; as often as one likes."""
    script = (
        "\\getenv role ROLE\n\\getenv password APPLICATION_PASSWORD\n"
        "select format('create role %I login nobypassrls', :'role')"
        " where not exists (select from pg_roles where rolname = :'role') \\gexec\n"
        "alter role :\"role\" password :'password';\n"
    )
    container: dict[str, Any] = {
        "name": "psql",
        "image": _POSTGRES_IMAGE,
        "command": ["sh", "-c", 'printf %s "$SCRIPT" | psql --set ON_ERROR_STOP=1 --no-psqlrc --quiet "$OWNER_URL"'],
        "env": [
            {"name": "SCRIPT", "value": script},
            {"name": "ROLE", "value": platform.postgres.application.role},
            _from_secret("OWNER_URL", "owner-url"),
            _from_secret("APPLICATION_PASSWORD", "application-password"),
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
    }
    pod: dict[str, Any] = {
        "restartPolicy": "OnFailure",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    if platform.postgres.certificates_url:
        container["volumeMounts"] = [{"name": "certificates", "mountPath": _MOUNT, "readOnly": True}]
        pod["volumes"] = [{"name": "certificates", "configMap": {"name": CERTIFICATES}}]
    spec = {
        "backoffLimit": 10,
        "activeDeadlineSeconds": 600,
        "ttlSecondsAfterFinished": 600,
        "template": {"spec": pod},
    }
    return _object("batch/v1", "Job", ROLE_JOB, spec, namespace=platform.namespace)


def _from_secret(variable: str, key: str) -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": POSTGRES, "key": key}}}


def _storage(cloud: str) -> list[Manifest]:
    """The class of volumes that name none. EKS has the driver but no such class; other clouds bring one."""
    if cloud != "aws":
        return []
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    return [
        _object("storage.k8s.io/v1", "StorageClass", GATEWAY, annotations=default)
        | {
            "provisioner": "ebs.csi.aws.com",
            "parameters": {"type": "gp3", "encrypted": "true"},
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": True,
        }
    ]


def _balancer(cloud: str) -> dict[str, str]:
    return {"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"} if cloud == "aws" else {}


def _object(
    api: str, kind: str, name: str, spec: Mapping[str, Any] | None = None, **metadata: str | Mapping[str, str]
) -> Manifest:
    found: Manifest = {"apiVersion": api, "kind": kind, "metadata": {"name": name, **metadata}}
    return found if spec is None else found | {"spec": dict(spec)}
