"""A way from here to a Service in the cluster, for as long as a release looks at it."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import subprocess
import time
from collections.abc import Iterator
from typing import Final

from releases.kubectl import ClusterError, Kubectl

OPEN_S: Final = 30.0
_FORWARD: Final = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)")


@contextlib.contextmanager
def tunnel(kubectl: Kubectl, deployment: str) -> Iterator[tuple[str, str]]:
    """The URLs of an edge and of its metrics, both of one pod, behind `kubectl port-forward`. Raises ClusterError."""
    target = f"deployment/{deployment}"
    command = ["kubectl", "--namespace", kubectl.namespace, "port-forward", target, ":8080", ":9464"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert process.stdout is not None
        ports = _ports(process, target)
        yield f"http://127.0.0.1:{ports['8080']}", f"http://127.0.0.1:{ports['9464']}/metrics"
    finally:
        process.terminate()
        process.wait(timeout=10)


def _ports(process: subprocess.Popen[bytes], target: str) -> dict[str, str]:
    """Local ports by the pod's. Its output is read bare: a buffered line would be one that nobody waits for."""
    assert process.stdout is not None
    found: dict[str, str] = {}
    said = b""
    deadline = time.monotonic() + OPEN_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            if not (read := os.read(process.stdout.fileno(), 4096)):
                break
            said += read
            found = {there: here for here, there in _FORWARD.findall(said.decode(errors="replace"))}
            if len(found) == 2:
                return found
    raise ClusterError(f"kubectl port-forward {target} did not open: {said.decode(errors='replace').strip()}")
