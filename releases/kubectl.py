"""What a release asks of a cluster, through kubectl."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Final

CALL_S: Final = 60


class ClusterError(Exception):
    """The cluster did not do what it was asked; the message is kubectl's."""


class Kubectl:
    """kubectl in one namespace, with the cluster that KUBECONFIG names."""

    def __init__(self, namespace: str, program: str = "kubectl") -> None:
        self._command = [program, "--namespace", namespace]
        self.namespace = namespace

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """One object. Raises ClusterError, also where there is none."""
        found: dict[str, Any] = json.loads(self._run("get", kind, name, "--output", "json"))
        return found

    def exists(self, kind: str, name: str) -> bool:
        """Whether it is there."""
        return bool(self._run("get", kind, name, "--output", "name", "--ignore-not-found").strip())

    def version(self) -> str:
        """Of the cluster's Kubernetes."""
        return str(json.loads(self._run("version", "--output", "json"))["serverVersion"]["gitVersion"])

    def merge(self, kind: str, name: str, patch: Mapping[str, Any]) -> None:
        """A JSON merge patch: lists are replaced as a whole."""
        self._run("patch", kind, name, "--type", "merge", "--patch", json.dumps(patch))

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Make it so."""
        self._run(
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager",
            "dormouse-release",
            "--filename",
            "-",
            given=json.dumps(manifest),
        )

    def list(self, kind: str, labels: Mapping[str, str]) -> Sequence[dict[str, Any]]:
        """All that have these labels."""
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        found: list[dict[str, Any]] = json.loads(self._run("get", kind, f"--selector={selector}", "--output", "json"))[
            "items"
        ]
        return found

    def create(self, manifest: Mapping[str, Any]) -> bool:
        """Make it; False where there is one with its name."""
        try:
            self._run("create", "--filename", "-", given=json.dumps(manifest))
        except ClusterError as error:
            if "AlreadyExists" in str(error):
                return False
            raise
        return True

    def replace(self, manifest: Mapping[str, Any]) -> None:
        """In place of the one with its name. Raises ClusterError also where that is not its `resourceVersion`."""
        self._run("replace", "--filename", "-", given=json.dumps(manifest))

    def delete(self, kind: str, name: str) -> None:
        """Gone, if it was there; not waited for."""
        self._run("delete", kind, name, "--ignore-not-found", "--wait=false")

    def delete_with_pods(self, name: str, timeout_s: float) -> None:
        """A Deployment that is gone with its last pod, if it was there."""
        words = [
            "delete",
            "deployment",
            name,
            "--ignore-not-found",
            "--cascade=foreground",
            f"--timeout={timeout_s:.0f}s",
        ]
        self._run(*words, limit_s=timeout_s + CALL_S)

    def logs(self, name: str) -> str:
        """The end of what a job has said."""
        return self._run("logs", f"job/{name}", "--tail=20", "--all-pods=true")

    def wait(self, kind: str, name: str, condition: str, timeout_s: float) -> None:
        """Return once the condition holds. Raises ClusterError when it does not in time."""
        self._run(
            "wait", f"{kind}/{name}", f"--for={condition}", f"--timeout={timeout_s:.0f}s", limit_s=timeout_s + CALL_S
        )

    def rolled_out(self, name: str, timeout_s: float) -> None:
        """Return once a Deployment runs as it is described. Raises ClusterError."""
        self._run("rollout", "status", f"deployment/{name}", f"--timeout={timeout_s:.0f}s", limit_s=timeout_s + CALL_S)

    def undo(self, name: str, revision: str) -> None:
        """A Deployment as it was at this revision."""
        self._run("rollout", "undo", f"deployment/{name}", f"--to-revision={revision}")

    def _run(self, *words: str, given: str | None = None, limit_s: float = CALL_S) -> str:
        command: Sequence[str] = [*self._command, *words]
        try:
            # In a session of its own: a terminal's Ctrl-C ends the release, and not what it has just begun.
            done = subprocess.run(
                command,
                input=given,
                capture_output=True,
                text=True,
                timeout=limit_s,
                check=False,
                start_new_session=True,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ClusterError(f"{' '.join(command[:4])}: {error}") from error
        if done.returncode:
            raise ClusterError(f"{' '.join(words[:3])}: {done.stderr.strip()}")
        return done.stdout
