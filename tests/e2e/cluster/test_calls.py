"""Who may call whom, tried from real pods: the chart's NetworkPolicies, as this cluster's network enforces them."""

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from tests.e2e.cluster.installation import Client, Installation, Pod, kubectl, wait_until

FUNCTIONS: Final = ("agent-fn", "tool-fn", "embed-fn")
PORTS: Final[Mapping[str, Mapping[str, int]]] = {
    "edge": {"edge": 8080, "edge's figures": 9464},
    **{name: {name: 8080, f"{name}'s proxy": 8013, f"{name}'s figures": 9464} for name in FUNCTIONS},
    "postgres": {"postgres": 5432},
    "redis": {"redis": 6379},
    "model-server": {"models": 11434},
}
"""Doors by the component whose pods have them."""

FIGURES: Final = {"edge's figures", *(f"{name}'s figures" for name in FUNCTIONS)}
CALLS: Final[Mapping[str, set[str]]] = {
    "edge": {"names", "functions by Knative", "postgres", "redis"},
    "agent-fn": {"names", "functions by Knative", "postgres", "models"},
    "tool-fn": {"names", "functions by Knative", "postgres"},
    "embed-fn": {"names", "postgres", "models"},
    "model-server": set(),
    "migrations": {"names", "postgres"},
    "keys": {"API server"},
    # What is around the installation is not its own to close: these are asked for its own doors only.
    "client": {"edge"},
    "prometheus": FIGURES,
    "edge-candidate": {"postgres", "redis"},  # a release's; it comes with a policy for what it calls itself
    "neighbour": set(),
}
GONE: Final = ("migrations", "keys", "edge-candidate")
"""Components whose pods are there for a while only: others with their labels stand for them."""

OUTSIDERS: Final = ("client", "prometheus", "edge-candidate", "neighbour")
ROUNDS: Final = 4
"""A network needs a moment for a new pod: not the first answer counts but one that stays away."""


@pytest.fixture(scope="module")
def enforced(installation: Installation, client: Client) -> None:
    """Skips where policies are only stored."""
    closed = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "closed"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": []},
    }
    doors = {"edge": (installation.pods("edge")[0]["status"]["podIP"], 8080)}
    client.kubectl("apply", "--filename", "-", stdin=json.dumps(closed))
    time.sleep(5)
    is_enforced = not client.call("reach", targets=doors, timeout_s=3)["reached"]
    client.kubectl("delete", "networkpolicy", "closed")
    if not is_enforced:
        pytest.skip("this cluster's network plug-in does not enforce NetworkPolicies")
    wait_until("it is open again", lambda: bool(client.call("reach", targets=doors, timeout_s=3)["reached"]), 30)


@pytest.fixture(scope="module")
def callers(installation: Installation, client: Client) -> Iterator[dict[str, Pod]]:
    """Pods that the installation does not have by itself."""
    labels = {"app.kubernetes.io/name": "dormouse", "app.kubernetes.io/instance": installation.release}
    monitoring = f"{installation.namespace}-monitoring"
    kubectl("create", "namespace", monitoring)
    places = {"neighbour": installation.namespace, "prometheus": monitoring}
    try:
        with ThreadPoolExecutor() as pool:
            started = [
                pool.submit(Pod.start, namespace, name, installation.image) for name, namespace in places.items()
            ] + [
                pool.submit(
                    Pod.start,
                    installation.namespace,
                    f"like-{name}",
                    installation.image,
                    labels | {"app.kubernetes.io/component": name},
                )
                for name in GONE
            ]
            pods = [future.result() for future in started]
        yield {pod.name.removeprefix("like-"): pod for pod in pods} | {"client": client.pod}
    finally:
        likes = [f"like-{name}" for name in GONE]
        installation.kubectl("delete", "pod", "neighbour", *likes, "--ignore-not-found")
        kubectl("delete", "namespace", monitoring, "--wait=false")


def reached_by(installation: Installation, client: Client, callers: Mapping[str, Pod]) -> dict[str, set[str]]:
    """What each caller reaches of what there is, with every function awake."""
    for function in FUNCTIONS:
        target = f"{installation.release}-{function}.{installation.namespace}.svc.cluster.local:80"
        client.call("health", target=target, timeout_s=60)
    pods = {component: installation.pods(component)[0] for component in PORTS}
    doors = {
        name: (pods[component]["status"]["podIP"], port)
        for component, ports in PORTS.items()
        for name, port in ports.items()
    }
    by_knative = f"{installation.release}-tool-fn.{installation.namespace}.svc.cluster.local"
    services = {
        "functions by Knative": (by_knative, 80),
        "Knative's activator": ("activator-service.knative-serving.svc.cluster.local", 81),
        "API server": ("kubernetes.default.svc.cluster.local", 443),
    }
    found = client.call("addresses", names=[host for host, _ in services.values()])
    around = {name: (found["addresses"][host], port) for name, (host, port) in services.items()}
    around["names"] = (found["asked"], 53)
    real = {name: Pod(installation.namespace, pods[name]["metadata"]["name"]) for name in CALLS if name in pods}

    def ask(caller: tuple[str, Pod]) -> tuple[str, set[str]]:
        name, pod = caller
        targets = doors if name in OUTSIDERS else doors | around
        # Nobody's door is closed to itself.
        others = {door: target for door, target in targets.items() if door not in PORTS.get(name, ())}
        return name, set(pod.call("reach", targets=others, timeout_s=3)["reached"])

    with ThreadPoolExecutor(4) as pool:
        return dict(pool.map(ask, (real | dict(callers)).items()))


@pytest.fixture(scope="module")
def reached(
    enforced: None, installation: Installation, client: Client, callers: Mapping[str, Pod]
) -> dict[str, set[str]]:
    for _ in range(ROUNDS):
        found = reached_by(installation, client, callers)
        if found == CALLS:
            break
    return found


@pytest.mark.parametrize("caller", CALLS)
def test_a_pod_reaches_what_it_calls_and_nothing_else(caller: str, reached: Mapping[str, set[str]]) -> None:
    assert reached[caller] == CALLS[caller]
