"""What the chart makes of a release: the Knative Services, the edge, the migrations."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
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

    @property
    def tag(self) -> str:
        """Of the images."""
        return image(self.edge["spec"]["template"]).rpartition(":")[2]


def with_values(helm: str, release: str, namespace: str, options: Sequence[str]) -> list[str]:
    """The options; where they name no file of values, with those of the installed release. Raises ClusterError.

    The file is of this process and goes with it.
    """
    if any(option in ("-f", "--values") or option.startswith("--values=") for option in options):
        return list(options)
    command = [helm, "get", "values", release, "--namespace", namespace, "--output", "yaml"]
    values = _run(command, 60)
    folder = Path(tempfile.mkdtemp(prefix="dormouse-release-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "values.yaml").write_text(values)
    return ["--values", str(folder / "values.yaml"), *options]


def render(helm: str, kubernetes: str, release: str, namespace: str, options: Sequence[str]) -> Rendered:
    """kubernetes: the cluster's version; options: those of `helm upgrade`. Raises ClusterError."""
    command = [helm, "template", release, str(CHART), "--namespace", namespace, "--is-upgrade"]
    command += ["--kube-version", kubernetes, *options]
    found = [each for each in yaml.safe_load_all(_run(command, 120)) if each]
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
    _run(command, 720)


def _run(command: Sequence[str], limit_s: float) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit_s, check=False, start_new_session=True
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"helm {command[1]}: {error}") from error
    if done.returncode:
        raise ClusterError(f"helm {command[1]}: {done.stderr.strip()}")
    return done.stdout


def image(template: Mapping[str, Any]) -> str:
    """Of a pod template's first container."""
    return str(template["spec"]["containers"][0]["image"])


def _component(document: dict[str, Any]) -> str:
    return str(document["metadata"].get("labels", {}).get("app.kubernetes.io/component", ""))
