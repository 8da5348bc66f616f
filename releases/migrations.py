"""The schema goes first; it serves the old release as well as the new one."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from releases.kubectl import ClusterError, Kubectl
from releases.targets import READY_S

KEPT_S = 3600
"""So long a job stays whose release has died."""


def run(kubectl: Kubectl, jobs: Sequence[Mapping[str, Any]], say: Callable[[str], None]) -> None:
    """Run the chart's jobs to their end, as jobs of their own. Raises ClusterError with what they have said."""
    for job in jobs:
        made = copy.deepcopy(dict(job))
        name = f"{job['metadata']['name'][:40]}-{secrets.token_hex(3)}"
        # None of the chart's annotations: they would make it Helm's.
        made["metadata"] = {"name": name, "labels": job["metadata"].get("labels", {})}
        made["spec"]["ttlSecondsAfterFinished"] = KEPT_S
        say(f"migrations: {name}")
        kubectl.apply(made)
        try:
            kubectl.wait("job", name, "condition=complete", READY_S)
        except ClusterError as error:
            raise ClusterError(f"the migrations did not end well: {error}\n{_said(kubectl, name)}") from error
        finally:
            kubectl.delete("job", name)


def _said(kubectl: Kubectl, name: str) -> str:
    try:
        return kubectl.logs(name)
    except ClusterError as error:
        return str(error)
