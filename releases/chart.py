"""What the chart makes of a release: the Knative Services, the edge, the migrations."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from releases.kubectl import ClusterError

CHART = Path(__file__).parent.parent / "charts" / "dormouse"


@dataclass(frozen=True, slots=True)
class Rendered:
    """Documents of the chart, rendered for an upgrade."""

    services: list[dict[str, Any]]
    edge: dict[str, Any]
    migrations: list[dict[str, Any]]
    with_gateway: bool


def render(helm: str, kubernetes: str, release: str, namespace: str, options: Sequence[str]) -> Rendered:
    """kubernetes: the cluster's version; options: those of `helm upgrade`. Raises ClusterError."""
    command = [helm, "template", release, str(CHART), "--namespace", namespace, "--is-upgrade"]
    command += ["--kube-version", kubernetes, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise ClusterError(f"helm template: {done.stderr.strip()}")
    found = [each for each in yaml.safe_load_all(done.stdout) if each]
    services = [each for each in found if each["apiVersion"].startswith("serving.knative.dev")]
    edges = [each for each in found if each["kind"] == "Deployment" and _component(each) == "edge"]
    if not services or len(edges) != 1:
        raise ClusterError("the chart has rendered no functions or no edge")
    migrations = [each for each in found if each["kind"] == "Job" and _component(each) == "migrations"]
    gateway = any(each["kind"] == "HTTPRoute" for each in found)
    return Rendered(services, edges[0], migrations, gateway)


def upgrade(helm: str, release: str, namespace: str, options: Sequence[str]) -> None:
    """Tell Helm what has become of the release, so that its next upgrade starts from there. Raises ClusterError."""
    command = [helm, "upgrade", release, str(CHART), "--namespace", namespace, "--wait", "--timeout", "10m", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=720, check=False)
    if done.returncode:
        raise ClusterError(f"helm upgrade: {done.stderr.strip()}")


def _component(document: dict[str, Any]) -> str:
    return str(document["metadata"].get("labels", {}).get("app.kubernetes.io/component", ""))
