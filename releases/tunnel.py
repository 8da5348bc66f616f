"""A way from here to a Service in the cluster, for as long as a release looks at it."""

from __future__ import annotations

import contextlib
import selectors
import subprocess
import time
from collections.abc import Iterator
from typing import Final

from releases.kubectl import ClusterError, Kubectl

OPEN_S: Final = 30.0


@contextlib.contextmanager
def tunnel(kubectl: Kubectl, service: str) -> Iterator[str]:
    """The URL of a Service behind `kubectl port-forward`. Raises ClusterError."""
    command = ["kubectl", "--namespace", kubectl.namespace, "port-forward", f"service/{service}", ":80"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{_port(process, service)}"
    finally:
        process.terminate()
        process.wait(timeout=10)


def _port(process: subprocess.Popen[str], service: str) -> int:
    assert process.stdout is not None
    deadline = time.monotonic() + OPEN_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            line = process.stdout.readline()
            if line.startswith("Forwarding from 127.0.0.1:"):
                return int(line.split(":")[1].split()[0])
            if not line:
                break
    raise ClusterError(f"kubectl port-forward service/{service} did not open")
