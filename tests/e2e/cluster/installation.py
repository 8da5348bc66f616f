"""Helm, kubectl and a client pod, as the tests use them."""

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "dormouse"
CLIENT_PROGRAM = Path(__file__).with_name("client_program.py")
INSTALL_S = 600
SLEEP_S = 240.0
"""Longest wait for functions to fall asleep; what the platform promises is measured, not this."""


class CommandError(RuntimeError):
    """A command has failed; the text is what it said."""


def run(*command: str, stdin: str = "", timeout_s: float = 120) -> str:
    """Standard output of a command. Raises CommandError."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_s)
    if done.returncode:
        raise CommandError(f"{' '.join(command[:6])} …: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def kubectl(*arguments: str, stdin: str = "", timeout_s: float = 120) -> str:
    """See `run`."""
    return run("kubectl", *arguments, stdin=stdin, timeout_s=timeout_s)


def wait_until(what: str, is_so: Callable[[], bool], timeout_s: float, every_s: float = 0.5) -> float:
    """Seconds until it was so."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > timeout_s:
            raise AssertionError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(every_s)
    return time.monotonic() - began


@dataclass(frozen=True, slots=True)
class Installation:
    """One release in a namespace of its own."""

    namespace: str
    image: str
    """Name of the edge's image: it has Python and grpcio, which clients need."""
    values: list[str] = field(default_factory=list)
    release: str = "dm"

    @classmethod
    def make(cls) -> "Installation":
        """From the environment: DORMOUSE_E2E_TAG, _REGISTRY, _VALUES (a file)."""
        tag, registry = os.environ["DORMOUSE_E2E_TAG"], os.environ.get("DORMOUSE_E2E_REGISTRY", "")
        values = ["--values", str(CHART / "ci" / "trial-values.yaml")]
        if more := os.environ.get("DORMOUSE_E2E_VALUES"):
            values += ["--values", more]
        values += ["--set", f"image.registry={registry}", "--set-string", f"image.tag={tag}"]
        # Answers that take their time, so that there is a middle in which something can die.
        values += ["--set-json", 'modelServer.args=["--ttft-ms=20","--token-ms=50"]', "--set", "edge.replicas=2"]
        prefix = f"{registry}/" if registry else ""
        namespace = f"dormouse-e2e-{os.getpid()}"
        clients = json.dumps([{"kubernetes.io/metadata.name": f"{namespace}-client"}])
        values += ["--set-json", f"networkPolicies.edgeClients={clients}"]
        values += ["--set", f"networkPolicies.monitoringNamespace={namespace}-monitoring"]
        return cls(namespace, f"{prefix}dormouse-edge:{tag}", values)

    def install(self) -> None:
        """As a person would, in a namespace that enforces the strictest pod security standard."""
        kubectl("create", "namespace", self.namespace)
        kubectl("label", "namespace", self.namespace, "pod-security.kubernetes.io/enforce=restricted")
        run(
            *self._helm("install"),
            str(CHART),
            *self.values,
            "--wait",
            "--wait-for-jobs",
            "--timeout",
            f"{INSTALL_S}s",
            timeout_s=INSTALL_S,
        )

    def upgrade(self, *options: str) -> None:
        """With further values."""
        arguments = (str(CHART), *self.values, *options, "--wait", "--timeout", f"{INSTALL_S}s")
        run(*self._helm("upgrade"), *arguments, timeout_s=INSTALL_S)

    def rollback(self) -> None:
        """To what was before the last upgrade."""
        run(*self._helm("rollback"), "--wait", "--timeout", f"{INSTALL_S}s", timeout_s=INSTALL_S)

    def uninstall(self) -> None:
        run(*self._helm("uninstall"), "--wait", "--timeout", "300s", timeout_s=330)

    def remove(self) -> None:
        """Everything, whatever state it is in."""
        subprocess.run(self._helm("uninstall"), capture_output=True, timeout=120)
        for namespace in (self.namespace, f"{self.namespace}-client"):
            kubectl("delete", "namespace", namespace, "--ignore-not-found", "--wait=false")

    def kubectl(self, *arguments: str, stdin: str = "", timeout_s: float = 120) -> str:
        """In the installation's namespace."""
        return kubectl("--namespace", self.namespace, *arguments, stdin=stdin, timeout_s=timeout_s)

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get … --output json`."""
        return dict(json.loads(self.kubectl("get", *arguments, "--output", "json")))

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Pods of a part that are not being deleted."""
        items = self.get("pods", "--selector", f"app.kubernetes.io/component={component}")["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def awake(self) -> list[str]:
        """Functions that have pods, also such as are going."""
        items = self.get("pods", "--selector", "serving.knative.dev/service")["items"]
        return sorted(pod["metadata"]["labels"]["serving.knative.dev/service"] for pod in items)

    def fall_asleep(self) -> float:
        """Waits until no function has a pod; seconds."""
        return wait_until("functions are at zero", lambda: not self.awake(), SLEEP_S)

    @property
    def api_key(self) -> str:
        return base64.b64decode(self.get("secret", f"{self.release}-keys")["data"]["api-key"]).decode()

    @contextmanager
    def client(self) -> Iterator["Client"]:
        """A pod of another namespace."""
        namespace = f"{self.namespace}-client"
        kubectl("create", "namespace", namespace)
        try:
            yield Client.start(self, namespace)
        finally:
            kubectl("delete", "namespace", namespace, "--wait=false")

    def _helm(self, command: str) -> list[str]:
        helm = os.environ.get("DORMOUSE_E2E_HELM") or str(Path(sys.executable).parent.parent / "tools" / "helm")
        return [helm, command, self.release, "--namespace", self.namespace]


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that has Python: it runs `client_program.py`."""

    namespace: str
    name: str

    @classmethod
    def start(cls, namespace: str, name: str, image: str, labels: dict[str, str] | None = None) -> "Pod":
        """One that waits to be told what to do, with the labels of whatever it stands for."""
        container = {
            "name": name,
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python", "-c", "import time; time.sleep(86400)"],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        spec = {
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        }
        metadata = {"name": name, "labels": labels or {}}
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        kubectl("--namespace", namespace, "apply", "--filename", "-", stdin=json.dumps(manifest))
        kubectl(
            "--namespace", namespace, "wait", f"pod/{name}", "--for=condition=Ready", "--timeout=120s", timeout_s=130
        )
        return cls(namespace, name)

    def call(self, what: str, **arguments: Any) -> dict[str, Any]:
        """One function of the program; its result."""
        with self.begin(what, **arguments) as process:
            output, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
        return dict(json.loads(output.strip().splitlines()[-1]))

    @contextmanager
    def begin(self, what: str, **arguments: Any) -> Iterator["subprocess.Popen[str]"]:
        """The same while something else happens; it prints lines, the last is the result."""
        command = ["kubectl", "--namespace", self.namespace, "exec", "--stdin", self.name, "--"]
        command += ["python", "-u", "-", what, json.dumps(arguments)]
        with tempfile.TemporaryFile("w+") as program:
            program.write(CLIENT_PROGRAM.read_text())
            program.seek(0)
            process = subprocess.Popen(
                command, stdin=program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            try:
                yield process
            finally:
                process.kill()
                process.wait()


@dataclass(frozen=True, slots=True)
class Client:
    """A pod of another namespace that calls the edge with a key."""

    pod: Pod
    url: str
    key: str

    @classmethod
    def start(cls, installation: Installation, namespace: str) -> "Client":
        url = f"http://{installation.release}-edge.{installation.namespace}.svc"
        return cls(Pod.start(namespace, "client", installation.image), url, installation.api_key)

    @property
    def namespace(self) -> str:
        return self.pod.namespace

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """In the client's namespace."""
        return kubectl("--namespace", self.namespace, *arguments, stdin=stdin)

    def call(self, what: str, **arguments: Any) -> dict[str, Any]:
        """See `Pod.call`; the program knows address and key."""
        return self.pod.call(what, **({"url": self.url, "key": self.key} | arguments))

    def begin(self, what: str, **arguments: Any) -> AbstractContextManager["subprocess.Popen[str]"]:
        """See `Pod.begin`."""
        return self.pod.begin(what, **({"url": self.url, "key": self.key} | arguments))
