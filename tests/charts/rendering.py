"""What Helm makes of the chart and a set of values, and how to look into it."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "dormouse"
TRIAL = ("--values", str(CHART / "ci" / "trial-values.yaml"))
PRODUCTION = ("--values", str(CHART / "ci" / "production-values.yaml"))
AIR_GAPPED = ("--values", str(CHART / "ci" / "air-gapped-values.yaml"))
EXTERNAL = ("--set", "postgres.existingSecret=pg,redis.existingSecret=rd")
ON_THE_CPU = (*EXTERNAL, "--set", "ollama.gpu.enabled=false,ollama.storage.class=none,networkPolicies.enabled=false")
OUTSIDE = (*EXTERNAL, "--set", "ollama.enabled=false,ollama.url=https://ollama.example.org,keys.existingSecret=keys")
CASES = {
    "trial": TRIAL,
    "production": PRODUCTION,
    "air-gapped": AIR_GAPPED,
    "defaults": EXTERNAL,
    "cpu": ON_THE_CPU,
    "outside": OUTSIDE,
}

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]


def template(helm: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """Renders the chart as release `dm` in the namespace `apart`."""
    command = [helm, "template", "dm", str(CHART), "--namespace", "apart", "--kube-version", "1.34.0", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def of_kind(documents: list[Manifest], kind: str, api: str = "") -> list[Manifest]:
    """Those of a kind, where its API begins so."""
    return [d for d in documents if d["kind"] == kind and d["apiVersion"].startswith(api)]


def named(documents: list[Manifest], kind: str, name: str) -> Manifest:
    """The one with this name."""
    (found,) = [d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name]
    return found


def pods(documents: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Every pod template with the name of what makes it."""
    for document in documents:
        spec = document.get("spec", {})
        if document["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            yield document["metadata"]["name"], spec["template"]


def variables(pod: Manifest) -> dict[str, Any]:
    """The environment of a pod's only container; None for what comes from elsewhere."""
    (container,) = pod["spec"]["containers"]
    return {variable["name"]: variable.get("value") for variable in container.get("env", [])}
