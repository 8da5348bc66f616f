"""What others' resources may look like in the chart: strict JSON Schemas of the fields that it uses, by kind.

Written from their documented APIs. A field that is not here is an error, also where the cluster would take it: Knative
refuses most of a pod's fields unless its operator has switched them on, and drops some others without a word.
"""

from collections.abc import Mapping
from typing import Any, Final

import jsonschema

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string", "minLength": 1}
_TEXTS: Final[Schema] = {"type": "array", "items": _TEXT, "minItems": 1}
_MAP: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}
_NAME: Final[Schema] = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"}
_DURATION: Final[Schema] = {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"}


def _object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _list(of: Schema, least: int = 1) -> Schema:
    return {"type": "array", "items": of, "minItems": least}


def _resource(api: str, kind: str, spec: Schema, metadata: Schema | None = None) -> Schema:
    own = metadata or _object({"name": _NAME, "labels": _MAP})
    return _object({"apiVersion": {"const": api}, "kind": {"const": kind}, "metadata": own, "spec": spec})


# https://knative.dev/docs/serving/reference/serving-api/ and, for annotations, /docs/serving/autoscaling/
_SCALE: Final[Schema] = {"type": "string", "pattern": "^[0-9]+$"}
_GRPC_PROBE: Final[Schema] = _object(
    {"grpc": _object({"port": {"const": 8080}}), "periodSeconds": {"type": "integer", "minimum": 1}},
    # Knative's aggressive probe, without a period, takes neither of these.
    {"failureThreshold": {"type": "integer", "minimum": 1}, "timeoutSeconds": {"type": "integer", "minimum": 1}},
)
_VOLUME: Final[Schema] = {
    "oneOf": [
        _object(
            {"name": _NAME, "secret": _object({"secretName": _NAME}, {"items": _list({"type": "object"})})},
        ),
        _object({"name": _NAME, "configMap": _object({"name": _NAME}, {"items": _list({"type": "object"})})}),
        _object({"name": _NAME, "emptyDir": _object({}, {"sizeLimit": _TEXT, "medium": _TEXT})}),
    ]
}
_FUNCTION: Final[Schema] = _object(
    {
        "name": _NAME,
        "image": _TEXT,
        "imagePullPolicy": _TEXT,
        # Checked in all pods alike, by Kubernetes' own schema and by what "restricted" wants.
        "securityContext": {"type": "object"},
        "ports": {
            "type": "array",
            "items": _object({"name": {"const": "h2c"}, "containerPort": {"const": 8080}}),
            "minItems": 1,
            "maxItems": 1,
        },
        "readinessProbe": _GRPC_PROBE,
        "livenessProbe": _GRPC_PROBE,
        "resources": {"type": "object"},
        "env": _list({"type": "object"}),
        "volumeMounts": _list(
            _object({"name": _NAME, "mountPath": _TEXT}, {"readOnly": {"type": "boolean"}, "subPath": _TEXT})
        ),
    },
    {"envFrom": _list({"type": "object"})},
)
_KNATIVE_SERVICE: Final = _resource(
    "serving.knative.dev/v1",
    "Service",
    _object(
        {
            "template": _object(
                {
                    "metadata": _object(
                        {
                            "labels": _MAP,
                            "annotations": {
                                **_object(
                                    {
                                        "autoscaling.knative.dev/min-scale": _SCALE,
                                        "autoscaling.knative.dev/max-scale": _SCALE,
                                        "autoscaling.knative.dev/metric": {"const": "concurrency"},
                                        "autoscaling.knative.dev/target-utilization-percentage": _SCALE,
                                        "autoscaling.knative.dev/window": _DURATION,
                                        "autoscaling.knative.dev/scale-to-zero-pod-retention-period": _DURATION,
                                    }
                                ),
                                # An operator's own are as good; Knative's must be among those above.
                                "additionalProperties": {"type": "string"},
                                "propertyNames": {
                                    "pattern": "^(?!.*knative[.]dev/)"
                                    "|autoscaling[.]knative[.]dev/(min-scale|max-scale|metric|window"
                                    "|target-utilization-percentage|scale-to-zero-pod-retention-period)$"
                                },
                            },
                        }
                    ),
                    "spec": _object(
                        {
                            "serviceAccountName": _NAME,
                            "containerConcurrency": {"type": "integer", "minimum": 1, "maximum": 1000},
                            "timeoutSeconds": {"type": "integer", "minimum": 1, "maximum": 600},
                            "responseStartTimeoutSeconds": {"type": "integer", "minimum": 1, "maximum": 600},
                            "idleTimeoutSeconds": {"const": 0},
                            "containers": {"type": "array", "items": _FUNCTION, "minItems": 1, "maxItems": 1},
                            "volumes": _list(_VOLUME),
                        },
                        {
                            "imagePullSecrets": _list(_object({"name": _NAME})),
                            # Only where Knative's operator has switched them on, and only by values.
                            "nodeSelector": _MAP,
                            "tolerations": _list({"type": "object"}),
                            "priorityClassName": _NAME,
                        },
                    ),
                }
            )
        }
    ),
    _object(
        {
            "name": _NAME,
            "labels": {
                **_MAP,
                "required": ["networking.knative.dev/visibility"],
                "properties": {"networking.knative.dev/visibility": {"const": "cluster-local"}},
            },
        }
    ),
)

# https://external-secrets.io/latest/api/externalsecret/
_EXTERNAL_SECRET: Final = _resource(
    "external-secrets.io/v1",
    "ExternalSecret",
    _object(
        {
            "refreshInterval": _DURATION,
            "secretStoreRef": _object({"name": _NAME, "kind": {"enum": ["SecretStore", "ClusterSecretStore"]}}),
            "target": _object(
                {
                    "name": _NAME,
                    "creationPolicy": {"enum": ["Owner", "Orphan", "Merge", "None"]},
                    "deletionPolicy": {"enum": ["Delete", "Merge", "Retain"]},
                }
            ),
            "dataFrom": _list(_object({"extract": _object({"key": _TEXT})})),
        }
    ),
)

# https://gateway-api.sigs.k8s.io/reference/spec/#httproute
_HTTP_ROUTE: Final = _resource(
    "gateway.networking.k8s.io/v1",
    "HTTPRoute",
    _object(
        {
            "parentRefs": _list(
                _object({"name": _NAME}, {"namespace": _NAME, "sectionName": _NAME, "kind": _TEXT, "group": _TEXT})
            ),
            "rules": _list(
                _object(
                    {
                        "backendRefs": _list(
                            _object({"name": _NAME, "port": {"type": "integer"}}, {"weight": {"type": "integer"}})
                        ),
                        "timeouts": _object({"request": _DURATION}),
                    }
                )
            ),
        },
        {"hostnames": _TEXTS},
    ),
)

# https://prometheus-operator.dev/docs/api-reference/api/
_POD_MONITOR: Final = _resource(
    "monitoring.coreos.com/v1",
    "PodMonitor",
    _object(
        {
            "selector": _object({"matchLabels": _MAP}),
            "podMetricsEndpoints": _list(
                _object(
                    {"port": _TEXT},
                    {
                        "relabelings": _list(
                            _object(
                                {"sourceLabels": _TEXTS, "targetLabel": _TEXT}, {"regex": _TEXT, "replacement": _TEXT}
                            )
                        )
                    },
                )
            ),
        }
    ),
)
_PROMETHEUS_RULE: Final = _resource(
    "monitoring.coreos.com/v1",
    "PrometheusRule",
    _object(
        {
            "groups": _list(
                _object(
                    {
                        "name": _TEXT,
                        "rules": _list(
                            _object(
                                {
                                    "alert": _TEXT,
                                    "expr": _TEXT,
                                    "labels": _object({"severity": {"enum": ["warning", "critical"]}}),
                                    "annotations": _object({"summary": _TEXT}, {"description": _TEXT}),
                                },
                                {"for": _DURATION},
                            )
                        ),
                    }
                )
            )
        }
    ),
)

# https://keda.sh/docs/2.21/reference/scaledobject-spec/ and, for the trigger, /docs/2.21/scalers/metrics-api/
_SECONDS: Final[Schema] = {"type": "integer", "minimum": 0}
_SCALED_OBJECT: Final = _resource(
    "keda.sh/v1alpha1",
    "ScaledObject",
    _object(
        {
            "scaleTargetRef": _object({"apiVersion": _TEXT, "kind": _TEXT, "name": _NAME}),
            "minReplicaCount": {"const": 0},
            "maxReplicaCount": {"type": "integer", "minimum": 1},
            "pollingInterval": {"type": "integer", "minimum": 1},
            "cooldownPeriod": _SECONDS,
            "initialCooldownPeriod": _SECONDS,
            "advanced": _object(
                {
                    "horizontalPodAutoscalerConfig": _object(
                        {
                            "behavior": _object(
                                {"scaleDown": _object({"stabilizationWindowSeconds": {**_SECONDS, "maximum": 3600}})}
                            )
                        }
                    )
                }
            ),
            "triggers": _list(
                _object(
                    {
                        "type": {"const": "metrics-api"},
                        "metricType": {"enum": ["AverageValue", "Value"]},
                        # All of it is text, also what means a number.
                        "metadata": _object(
                            {
                                # KEDA takes the Service's name and namespace out of it, and looks for this port.
                                "url": {"type": "string", "pattern": r"^http://[a-z0-9-]+[.][a-z0-9-]+[.]svc:[0-9]+/"},
                                "format": {"enum": ["prometheus", "json", "xml", "yaml"]},
                                "valueLocation": _TEXT,
                                "aggregateFromKubeServiceEndpoints": {"enum": ["true", "false"]},
                                "aggregationType": {"enum": ["average", "sum", "max", "min"]},
                                "targetValue": {"type": "string", "pattern": "^[1-9][0-9]*$"},
                                "activationTargetValue": {"type": "string", "pattern": "^[0-9]+$"},
                            }
                        ),
                    }
                )
            ),
        }
    ),
)

_SCHEMAS: Final = {
    (schema["properties"]["apiVersion"]["const"], schema["properties"]["kind"]["const"]): schema
    for schema in (_KNATIVE_SERVICE, _EXTERNAL_SECRET, _HTTP_ROUTE, _POD_MONITOR, _PROMETHEUS_RULE, _SCALED_OBJECT)
}


def is_custom(document: Mapping[str, Any]) -> bool:
    """Whether Kubernetes itself does not know this kind."""
    return (document["apiVersion"], document["kind"]) in _SCHEMAS


def validate(document: Mapping[str, Any]) -> None:
    """Raises jsonschema.ValidationError for what a strict reader of that API would refuse."""
    jsonschema.validate(document, _SCHEMAS[document["apiVersion"], document["kind"]])
