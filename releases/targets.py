"""What a release rolls: each knows how to stand beside its predecessor, take a share of the traffic, and step back."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

from releases.kubectl import ClusterError, Kubectl

TAG: Final = "candidate"
READY_S: Final = 300.0
SURE_S: Final = 90.0
"""So long a revision has to fail until it is believed."""
POLL_S: Final = 1.0


class Target(Protocol):
    """One part of the platform. Every step may be repeated; `back` may be called at any moment."""

    name: str

    def stage(self) -> None:
        """Bring the new version up without traffic."""

    def shift(self, percent: int) -> None:
        """Give it this share."""

    def finish(self) -> None:
        """All of it, for good."""

    def back(self) -> None:
        """None of it: as it was."""


class KnativeService:
    """A function: a new revision behind a tag, then a share of the route."""

    def __init__(self, kubectl: Kubectl, name: str, template: Mapping[str, Any]) -> None:
        """template: the new `spec.template`, as the chart renders it."""
        self.name = name
        self._kubectl, self._template = kubectl, template
        self._before = self._new = ""
        self._old: Mapping[str, Any] = {}

    def stage(self) -> None:
        service = self._get()
        # A route that follows the latest revision would move with it: hold it where it is first. Where a release was
        # broken off, it is held already: what has the traffic is the one to go back to.
        self._before = _most(service["status"].get("traffic", [])) or service["status"]["latestReadyRevisionName"]
        self._old = service["spec"]["template"]
        self._route(0, latest=self._before)
        self._new = self._changed_to(self._template)
        self._route(0, latest=self._new)

    def _changed_to(self, template: Mapping[str, Any]) -> str:
        """The revision that the template makes, once it is ready."""
        self._kubectl.merge("ksvc", self.name, {"spec": {"template": _whole(self._get(), template)}})
        deadline = time.monotonic() + READY_S
        failing_since = math.inf
        while True:
            service = self._get()
            # The names in the status are those of before until the configuration says that it has taken this one in.
            made, status = _condition(service, "ConfigurationsReady"), service["status"]
            if (
                made.get("status") == "True"
                and status["latestCreatedRevisionName"] == status["latestReadyRevisionName"]
            ):
                return str(status["latestReadyRevisionName"])
            # Where a node has to come first it fails, and then it does not.
            failing_since = min(failing_since, time.monotonic()) if made.get("status") == "False" else math.inf
            if time.monotonic() - failing_since > SURE_S:
                raise ClusterError(f"{self.name}: the new revision does not start: {made.get('message', '')}")
            if time.monotonic() > deadline:
                raise ClusterError(f"{self.name}: the new revision is not ready after {READY_S:.0f} s")
            time.sleep(POLL_S)

    def shift(self, percent: int) -> None:
        self._route(percent, latest=self._new)

    def finish(self) -> None:
        """The route follows the latest revision again, which is how the chart leaves it."""
        self._kubectl.merge("ksvc", self.name, {"spec": {"traffic": [{"latestRevision": True, "percent": 100}]}})
        self._settled()

    def back(self) -> None:
        """The old revision has all traffic at once. Then the chart's own state: the old template."""
        if not self._before:
            return
        self._route(0, latest=self._before)
        try:
            self._changed_to(self._old)
        except ClusterError as error:
            raise ClusterError(
                f"{self._before} has all traffic and keeps it, but is not the latest: {error}"
            ) from error
        self.finish()

    def _route(self, percent: int, *, latest: str) -> None:
        routes: list[dict[str, Any]] = [{"revisionName": self._before, "percent": 100 - percent}]
        if latest != self._before:
            routes.append({"revisionName": latest, "percent": percent, "tag": TAG})
        elif percent:
            return  # nothing has changed in this part: there is nothing to move
        self._kubectl.merge("ksvc", self.name, {"spec": {"traffic": routes}})
        self._settled()

    def _settled(self) -> None:
        """Return once the routes are what was asked for."""
        deadline = time.monotonic() + READY_S
        while True:
            service = self._get()
            if _condition(service, "RoutesReady").get("status") == "True" and _shares(service):
                return
            if time.monotonic() > deadline:
                raise ClusterError(f"{self.name}: its routes are not ready after {READY_S:.0f} s")
            time.sleep(POLL_S)

    def _get(self) -> dict[str, Any]:
        return self._kubectl.get("ksvc", self.name)


class EdgeByWeights:
    """The edge behind the Gateway API: a second Deployment and Service, and weights of the route."""

    def __init__(self, kubectl: Kubectl, name: str, manifest: Mapping[str, Any], targets: Mapping[str, str]) -> None:
        """manifest: the new Deployment; targets: variables by which the candidate finds the functions' tags."""
        self.name = name
        self._kubectl, self._manifest, self._targets = kubectl, manifest, targets

    def stage(self) -> None:
        stage_edge(self._kubectl, self.name, self._manifest, self._targets)

    def shift(self, percent: int) -> None:
        """The candidate's functions are then the tags still: both sides of a request are new."""
        self._weigh(percent)

    def finish(self) -> None:
        self._weigh(100)
        self._kubectl.apply(_owned(self._manifest))
        self._kubectl.rolled_out(self.name, READY_S)
        self._weigh(0)
        self._gone()

    def back(self) -> None:
        self._weigh(0)
        self._gone()

    def _weigh(self, percent: int) -> None:
        route = self._kubectl.get("httproute", self.name)
        rules = copy.deepcopy(route["spec"]["rules"])
        backends = [{"name": self.name, "port": 80, "weight": 100 - percent}]
        if percent:
            backends.append({"name": f"{self.name}-{TAG}", "port": 80, "weight": percent})
        for rule in rules:
            rule["backendRefs"] = backends
        self._kubectl.merge("httproute", self.name, {"spec": {"rules": rules}})

    def _gone(self) -> None:
        for kind in ("deployment", "service", "networkpolicy"):
            self._kubectl.delete(kind, f"{self.name}-{TAG}")


class EdgeByRolling:
    """The edge behind an Ingress, which knows no weights in common: a candidate to test, then one replica at a time."""

    def __init__(self, kubectl: Kubectl, name: str, manifest: Mapping[str, Any], targets: Mapping[str, str]) -> None:
        self.name = name
        self._kubectl, self._manifest, self._targets = kubectl, manifest, targets
        self._rolled = False

    def stage(self) -> None:
        stage_edge(self._kubectl, self.name, self._manifest, self._targets)

    def shift(self, percent: int) -> None:
        """The replicas change once the functions are through: a new edge before would need the old ones' consent."""

    def finish(self) -> None:
        self._rolled = True
        self._kubectl.apply(_owned(self._manifest))
        self._kubectl.rolled_out(self.name, READY_S)
        self._gone()

    def back(self) -> None:
        if self._rolled:
            self._kubectl.undo(self.name)
            self._kubectl.rolled_out(self.name, READY_S)
        self._gone()

    def _gone(self) -> None:
        for kind in ("deployment", "service", "networkpolicy"):
            self._kubectl.delete(kind, f"{self.name}-{TAG}")


def stage_edge(kubectl: Kubectl, name: str, manifest: Mapping[str, Any], targets: Mapping[str, str]) -> None:
    """A Deployment of one replica that calls the functions' tags, with a Service and the edge's network policy."""
    made = copy.deepcopy(dict(manifest))
    component = {"app.kubernetes.io/component": f"edge-{TAG}"}
    made["metadata"] = {"name": f"{name}-{TAG}", "labels": {**manifest["metadata"].get("labels", {}), **component}}
    spec = made["spec"]
    spec["replicas"] = 1
    spec["selector"]["matchLabels"] |= component
    spec["template"]["metadata"]["labels"] |= component
    for container in spec["template"]["spec"]["containers"]:
        for variable in container["env"]:
            if variable["name"] in targets:
                variable["value"] = targets[variable["name"]]
    kubectl.apply(made)
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{name}-{TAG}", "labels": made["metadata"]["labels"]},
        "spec": {
            "selector": spec["selector"]["matchLabels"],
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    }
    kubectl.apply(service)
    if kubectl.exists("networkpolicy", name):
        policy = kubectl.get("networkpolicy", name)
        policy["metadata"] = {"name": f"{name}-{TAG}", "labels": made["metadata"]["labels"]}
        policy["spec"]["podSelector"] = {"matchLabels": spec["selector"]["matchLabels"]}
        kubectl.apply({key: policy[key] for key in ("apiVersion", "kind", "metadata", "spec")})
    kubectl.rolled_out(f"{name}-{TAG}", READY_S)


def _owned(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Without what belongs to Helm alone or to nobody: a number of replicas, where there is one, stays the chart's."""
    return copy.deepcopy(dict(manifest))


def _condition(service: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """A condition of what is asked for now; nothing while the status is about something older."""
    status = service.get("status", {})
    if status.get("observedGeneration") != service["metadata"]["generation"]:
        return {}
    return next((each for each in status.get("conditions", []) if each["type"] == kind), {})


def _shares(service: Mapping[str, Any]) -> bool:
    """Whether the routes have the shares that are asked for."""
    status = service["status"]
    latest = status["latestReadyRevisionName"]
    asked = {each.get("revisionName", latest): each.get("percent", 0) for each in service["spec"]["traffic"]}
    return asked == {each["revisionName"]: each.get("percent", 0) for each in status.get("traffic", [])}


def _most(traffic: list[dict[str, Any]]) -> str:
    """The revision with the most of the traffic."""
    best = max(traffic, key=lambda each: each.get("percent") or 0, default={})
    return str(best.get("revisionName", ""))


def _whole(service: Mapping[str, Any], template: Mapping[str, Any]) -> dict[str, Any]:
    """The new template; what a merge would leave behind of the old annotations and labels is taken away by name."""
    made = copy.deepcopy(dict(template))
    for kind in ("annotations", "labels"):
        old = service["spec"]["template"].get("metadata", {}).get(kind) or {}
        new = made.setdefault("metadata", {}).setdefault(kind, {})
        new |= {name: None for name in old if name not in new}
    return made
