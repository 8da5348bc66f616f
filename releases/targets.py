"""What a release rolls: each knows how to stand beside its predecessor, take a share of the traffic, and step back."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

from releases.kubectl import ClusterError, Kubectl

TAG: Final = "candidate"
CANDIDATES: Final = {"dormouse.release": TAG}
"""The label of what stands beside the edge while it is tried."""

READY_S: Final = 300.0
SURE_S: Final = 90.0
"""So long a revision has to fail until it is believed."""
STUCK: Final = frozenset({
    *("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"),
    *("CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError"),
})  # fmt: skip
"""What a container waits for that is not going to come."""

POLL_S: Final = 1.0


class Target(Protocol):
    """One part of the platform. Every step may be repeated; `back` may be called at any moment."""

    name: str

    def remember(self) -> dict[str, Any]:
        """What it is now, as plain values: enough for `recalled` to go back to."""

    def stage(self) -> None:
        """Bring the new version up without traffic. Wants `remember` before."""

    def shift(self, percent: int) -> None:
        """Give it this share."""

    def finish(self) -> None:
        """All of it, for good."""

    def unload(self) -> None:
        """None of the traffic, at once."""

    def back(self) -> None:
        """As it was."""


class KnativeService:
    """A function: a new revision behind a tag, then a share of the route."""

    def __init__(self, kubectl: Kubectl, name: str, template: Mapping[str, Any]) -> None:
        """template: the new `spec.template`, as the chart renders it."""
        self.name = name
        self._kubectl, self._template = kubectl, template
        self._before = self._new = ""
        self._old: Mapping[str, Any] = {}

    def remember(self) -> dict[str, Any]:
        service = self._get()
        # Where somebody holds the route by hand, what has the traffic is the one to go back to.
        self._before = _most(service["status"].get("traffic", [])) or service["status"]["latestReadyRevisionName"]
        self._old = service["spec"]["template"]
        return {"kind": "function", "name": self.name, "before": self._before, "old": self._old}

    def recall(self, before: str, old: Mapping[str, Any]) -> None:
        """Be the one that remembered this, in another process."""
        self._before, self._old = before, old

    def stage(self) -> None:
        # A route that follows the latest revision would move with it: hold it where it is first.
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
            # Where a node has to come first it fails, and then it does not. Of some pods that cannot start Knative says
            # nothing for as long as it waits for them.
            stuck = self._stuck(str(status.get("latestCreatedRevisionName", "")))
            failing = made.get("status") == "False" or stuck
            failing_since = min(failing_since, time.monotonic()) if failing else math.inf
            if time.monotonic() - failing_since > SURE_S:
                raise ClusterError(f"{self.name}: the new revision does not start: {stuck or made.get('message', '')}")
            if time.monotonic() > deadline:
                raise ClusterError(f"{self.name}: the new revision is not ready after {READY_S:.0f} s")
            time.sleep(POLL_S)

    def _stuck(self, revision: str) -> str:
        """Why a pod of the revision cannot start, or nothing."""
        for pod in self._kubectl.list("pod", {"serving.knative.dev/revision": revision}):
            for container in pod["status"].get("containerStatuses", []):
                waiting = container.get("state", {}).get("waiting", {})
                if waiting.get("reason") in STUCK:
                    return f"{waiting['reason']}: {waiting.get('message', '')}"
        return ""

    def shift(self, percent: int) -> None:
        self._route(percent, latest=self._new)

    def finish(self) -> None:
        """The route follows the latest revision again, which is how the chart leaves it."""
        self._kubectl.merge("ksvc", self.name, {"spec": {"traffic": [{"latestRevision": True, "percent": 100}]}})
        self._settled()

    def unload(self) -> None:
        self._route(0, latest=self._new or self._before)

    def back(self) -> None:
        """The old revision has all the traffic already. Then the chart's own state: the old template, as the latest."""
        try:
            self._changed_to(self._old)
        except ClusterError as error:
            raise ClusterError(
                f"{self._before} has all traffic and keeps it, but is not the latest: {error}"
            ) from error
        self.finish()

    def _route(self, percent: int, *, latest: str) -> None:
        # A part in which nothing has changed has its tag, too: the candidate calls that.
        routes: list[dict[str, Any]] = [{"revisionName": latest, "percent": 100, "tag": TAG}]
        if latest != self._before:
            routes[0]["percent"] = percent
            routes.append({"revisionName": self._before, "percent": 100 - percent})
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


class EdgeByRolling:
    """The edge behind an Ingress, which knows no weights in common: a candidate to test, then one replica at a time."""

    KIND = "rolling edge"

    def __init__(self, kubectl: Kubectl, name: str, manifest: Mapping[str, Any], targets: Mapping[str, str]) -> None:
        """manifest: the new Deployment; targets: variables by which the candidate finds the functions' tags."""
        self.name = name
        self._kubectl, self._manifest, self._targets = kubectl, manifest, targets
        self._before = ""

    def remember(self) -> dict[str, Any]:
        self._before = _revision(self._kubectl.get("deployment", self.name))
        return {"kind": self.KIND, "name": self.name, "before": self._before}

    def recall(self, before: str) -> None:
        """Be the one that remembered this, in another process."""
        self._before = before

    def stage(self) -> None:
        stage_edge(self._kubectl, self.name, self._manifest, self._targets)

    def shift(self, percent: int) -> None:
        """The replicas change once the functions are through: a new edge before would need the old ones' consent."""

    def finish(self) -> None:
        self._roll()
        self._gone()

    def unload(self) -> None:
        """Its replicas change in `back`."""

    def back(self) -> None:
        if _revision(self._kubectl.get("deployment", self.name)) != self._before:
            self._kubectl.undo(self.name, self._before)
            self._kubectl.rolled_out(self.name, READY_S)
        self._gone()

    def _roll(self) -> None:
        # Not applied: what the old template alone has would stay, and Helm's upgrade would roll it once more.
        template = _whole(self._kubectl.get("deployment", self.name), self._manifest["spec"]["template"])
        self._kubectl.merge("deployment", self.name, {"spec": {"template": template}})
        self._kubectl.rolled_out(self.name, READY_S)

    def _gone(self) -> None:
        """Its open streams come to their end first: they call the functions' tags."""
        candidate = f"{self.name}-{TAG}"
        self._kubectl.delete_with_pods(candidate, READY_S)
        self._kubectl.delete("service", candidate)
        for policy in self._kubectl.list("networkpolicy", CANDIDATES):
            self._kubectl.delete("networkpolicy", policy["metadata"]["name"])


class EdgeByWeights(EdgeByRolling):
    """The edge behind the Gateway API: a second Deployment and Service, and weights of the route."""

    KIND = "weighed edge"

    def shift(self, percent: int) -> None:
        """The candidate's functions are then the tags still: both sides of a request are new."""
        candidate = f"{self.name}-{TAG}"
        now = self._kubectl.get("deployment", self.name).get("status", {}).get("replicas", 1)
        self._kubectl.merge("deployment", candidate, {"spec": {"replicas": max(1, math.ceil(now * percent / 100))}})
        self._kubectl.rolled_out(candidate, READY_S)
        self._weigh(percent)

    def finish(self) -> None:
        self._weigh(100)
        self._roll()
        self._weigh(0)
        self._gone()

    def unload(self) -> None:
        self._weigh(0)

    def _weigh(self, percent: int) -> None:
        route = self._kubectl.get("httproute", self.name)
        rules = copy.deepcopy(route["spec"]["rules"])
        backends = [{"name": self.name, "port": 80, "weight": 100 - percent}]
        if percent:
            backends.append({"name": f"{self.name}-{TAG}", "port": 80, "weight": percent})
        for rule in rules:
            rule["backendRefs"] = backends
        self._kubectl.merge("httproute", self.name, {"spec": {"rules": rules}})


def recalled(kubectl: Kubectl, part: Mapping[str, Any]) -> Target:
    """The part that remembered this."""
    if part["kind"] == "function":
        function = KnativeService(kubectl, part["name"], {})
        function.recall(part["before"], part["old"])
        return function
    kind = EdgeByWeights if part["kind"] == EdgeByWeights.KIND else EdgeByRolling
    edge = kind(kubectl, part["name"], {}, {})
    edge.recall(part["before"])
    return edge


def stage_edge(kubectl: Kubectl, name: str, manifest: Mapping[str, Any], targets: Mapping[str, str]) -> None:
    """A Deployment of one replica that calls the functions' tags, with a Service and what the edge's policies allow."""
    made = copy.deepcopy(dict(manifest))
    edge = dict(made["spec"]["selector"]["matchLabels"])
    component = {"app.kubernetes.io/component": f"edge-{TAG}"}
    labels = {**manifest["metadata"].get("labels", {}), **component, **CANDIDATES}
    made["metadata"] = {"name": f"{name}-{TAG}", "labels": labels}
    spec = made["spec"]
    spec["replicas"] = 1
    spec["selector"]["matchLabels"] |= component
    spec["template"]["metadata"]["labels"] |= component
    for container in spec["template"]["spec"]["containers"]:
        for variable in container["env"]:
            if variable["name"] in targets:
                variable["value"] = targets[variable["name"]]
    kubectl.apply(made)
    service = kubectl.get("service", name)
    ports = [
        {key: each[key] for key in ("name", "port", "targetPort", "appProtocol") if key in each}
        for each in service["spec"]["ports"]
    ]
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"{name}-{TAG}", "labels": labels},
            "spec": {"selector": spec["selector"]["matchLabels"], "ports": ports},
        }
    )
    instance = {key: edge[key] for key in ("app.kubernetes.io/instance",) if key in edge}
    for policy in kubectl.list("networkpolicy", instance):
        if (also := _also_for(policy, edge, spec["selector"]["matchLabels"])) is not None:
            also["metadata"] = {"name": f"{policy['metadata']['name']}-{TAG}", "labels": labels}
            kubectl.apply(also)
    kubectl.rolled_out(f"{name}-{TAG}", READY_S)


def _also_for(
    policy: Mapping[str, Any], edge: Mapping[str, str], candidate: Mapping[str, str]
) -> dict[str, Any] | None:
    """What a policy says of the edge, said of its candidate: what it may do, or who lets it in. None: nothing."""
    spec = copy.deepcopy(policy["spec"])
    if policy["metadata"].get("labels", {}).items() >= CANDIDATES.items():
        return None
    if spec["podSelector"].get("matchLabels") == edge:
        spec["podSelector"] = {"matchLabels": dict(candidate)}
    else:
        rules = [
            {**rule, "from": [{"podSelector": {"matchLabels": dict(candidate)}}]}
            for rule in spec.get("ingress", [])
            if any(peer.get("podSelector", {}).get("matchLabels") == edge for peer in rule.get("from", []))
        ]
        if not rules:
            return None
        spec = {"podSelector": spec["podSelector"], "policyTypes": ["Ingress"], "ingress": rules}
    return {"apiVersion": policy["apiVersion"], "kind": "NetworkPolicy", "spec": spec}


def _revision(deployment: Mapping[str, Any]) -> str:
    return str(deployment["metadata"].get("annotations", {}).get("deployment.kubernetes.io/revision", ""))


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


def _whole(now: Mapping[str, Any], template: Mapping[str, Any]) -> dict[str, Any]:
    """The new template; what a merge would leave behind of the old annotations and labels is taken away by name."""
    made = copy.deepcopy(dict(template))
    for kind in ("annotations", "labels"):
        old = now["spec"]["template"].get("metadata", {}).get(kind) or {}
        new = made.setdefault("metadata", {}).setdefault(kind, {})
        new |= {name: None for name in old if name not in new}
    return made
