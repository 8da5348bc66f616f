"""Makes a chart's values.schema.json and its README's table from its values.yaml: `make chart-docs`.

Types follow from the defaults, descriptions from the `# --` comments. A mapping without fields takes any, every other
one just those that are there, so that a misspelt value is an error. What types cannot say is in CONSTRAINTS.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

_DURATION: Final = {"pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"}
_BEGIN, _END = "<!-- values -->", "<!-- /values -->"
_COUNT: Final = {"minimum": 0}
_PORT: Final = {"minimum": 1, "maximum": 65535}

CONSTRAINTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "postgres.port": _PORT,
    "postgres.applicationRole": {"pattern": "^[a-z_][a-z0-9_]*$"},
    "redis.port": _PORT,
    "files.place": {"pattern": "^(s3://[^/]+(/.*)?)?$"},
    "files.volume.accessMode": {"enum": ["ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"]},
    "keys.rotation.maxAgeDays": {"minimum": 1},
    "edge.replicas": {"minimum": 1},
    "edge.autoscaling.maxReplicas": {"minimum": 1},
    "edge.autoscaling.targetCPU": {"minimum": 10, "maximum": 95},
    "edge.drainSeconds": _COUNT,
    "edge.service.type": {"enum": ["ClusterIP", "LoadBalancer", "NodePort"]},
    "edge.shutdownDelaySeconds": _COUNT,
    "functions.defaults.minScale": _COUNT,
    "functions.defaults.maxScale": {"minimum": 1},
    "functions.defaults.window": _DURATION,
    "functions.defaults.retention": _DURATION,
    # Knative's own limit, unless its operator has raised it.
    "functions.defaults.timeoutSeconds": {"minimum": 60, "maximum": 600},
    "functions.defaults.drainSeconds": _COUNT,
    "functions.tool.drainSeconds": _COUNT,
    "functions.defaults.targetUtilization": {"minimum": 1, "maximum": 100},
    "functions.agent.concurrency": {"minimum": 1},
    "functions.tool.concurrency": {"minimum": 1},
    "functions.embed.concurrency": {"minimum": 1},
    "networkPolicies.apiServerPorts": {"items": {"type": "integer", **_PORT}},
    "loadtest.profile": {"enum": ["smoke", "steady", "burst", "cold", "soak", "breakpoint"]},
    "loadtest.scenario": {"enum": ["chat", "agent", "rag", "upload", "mixed"]},
    "loadtest.users": {"minimum": 1},
    "loadtest.seconds": _COUNT,
    "loadtest.workers": {"minimum": 1},
    "ollama.replicas": _COUNT,
    "ollama.parallel": {"minimum": 1},
    "ollama.contextLength": {"minimum": 512},
    "ollama.gpu.count": {"minimum": 1},
    "ollama.keepAlive": {"pattern": r"^(-1|([0-9]+(ms|s|m|h))+)$"},
}
# Lists whose items are mappings; the others hold texts.
_LISTS_OF_MAPPINGS: Final = frozenset({"envFrom", "tolerations", "parentRefs", "edgeClients"})
# Quantities and the like: a number there is meant as well as a text.
_TEXT_OR_NUMBER: Final = frozenset({"cpu", "memory", "storage", "size", "scratch", "tag"})


def schema_of(values_file: Path) -> dict[str, Any]:
    """The JSON schema (draft 7, which Helm reads)."""
    text = values_file.read_text()
    values = yaml.safe_load(text)
    comments = dict(_comments(text.splitlines()))
    root = _schema(values, "", comments)
    functions = root["properties"]["functions"]["properties"]
    for name in ("agent", "tool", "embed"):  # each may override the defaults
        functions[name]["properties"] = functions["defaults"]["properties"] | functions[name]["properties"]
    root["properties"]["global"] = {"type": "object", "description": "What Helm hands to every chart"}
    unknown = CONSTRAINTS.keys() - _paths(values)
    if unknown:
        raise ValueError(f"no such values: {', '.join(sorted(unknown))}")
    return {"$schema": "http://json-schema.org/draft-07/schema#", **root}


def _schema(value: Any, path: str, comments: Mapping[str, str]) -> dict[str, Any]:
    name = path.rpartition(".")[2]
    found: dict[str, Any] = {"description": comments[path]} if path in comments else {}
    if isinstance(value, dict):
        found["type"] = "object"
        # Fields of Kubernetes' own types are checked by Kubernetes.
        if value and name not in ("requests", "limits", "dashboardLabels"):
            found["properties"] = {
                key: _schema(item, f"{path}.{key}" if path else key, comments) for key, item in value.items()
            }
            found["additionalProperties"] = name == "resources"
    elif isinstance(value, list):
        found["type"] = "array"
        found["items"] = {"type": "object" if name in _LISTS_OF_MAPPINGS else "string"}
    elif isinstance(value, bool):
        found["type"] = "boolean"
    elif isinstance(value, int):
        found["type"] = "integer"
    else:
        found["type"] = ["string", "number"] if name in _TEXT_OR_NUMBER else "string"
    found.update(CONSTRAINTS.get(path, {}))
    return found


def _comments(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Pairs of a value's path and the `# --` comment above it."""
    stack: list[tuple[int, str]] = []
    comment = ""
    for line in lines:
        if match := re.match(r"\s*# -- (.*)", line):
            comment = match[1]
        elif match := re.match(r"(\s*)([A-Za-z][A-Za-z0-9]*):", line):
            depth = len(match[1])
            stack = [entry for entry in stack if entry[0] < depth] + [(depth, match[2])]
            if comment:
                yield ".".join(name for _, name in stack), comment
            comment = ""


def _paths(value: Any, path: str = "") -> set[str]:
    found = {path}
    if isinstance(value, dict):
        for key, item in value.items():
            found |= _paths(item, f"{path}.{key}" if path else key)
    return found


def table_of(values_file: Path) -> str:
    """Every value with its default and its comment, in Markdown."""
    text = values_file.read_text()
    comments = dict(_comments(text.splitlines()))
    rows = ["| value | default | |", "|---|---|---|"]
    for path, value in _leaves(yaml.safe_load(text), "", comments):
        rows.append(f"| `{path}` | `{json.dumps(value)}` | {comments.get(path, '')} |")
    return "\n".join(rows)


def readme_with(readme: str, table: str) -> str:
    """The README with the table in its place."""
    return re.sub(rf"(?s)({_BEGIN}\n).*?(\n{_END})", lambda found: f"{found[1]}{table}{found[2]}", readme)


def _leaves(value: Any, path: str, comments: Mapping[str, str]) -> Iterable[tuple[str, Any]]:
    """Values and their paths; a mapping with a comment of its own counts as one, unless its fields have comments."""
    inner = any(other.startswith(f"{path}.") for other in comments)
    if isinstance(value, dict) and value and (not path or inner or path not in comments):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else key, comments)
    else:
        yield path, value


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "values.schema.json").write_text(json.dumps(schema_of(folder / "values.yaml"), indent=2) + "\n")
    readme_file = folder / "README.md"
    readme_file.write_text(readme_with(readme_file.read_text(), table_of(folder / "values.yaml")))
