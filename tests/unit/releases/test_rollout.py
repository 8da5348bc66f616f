"""Releases: the order of the steps, and that whatever fails everything goes back."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from releases import targets
from releases.kubectl import ClusterError, Kubectl
from releases.record import Record
from releases.rollout import Interrupted, TakenOverError, release, take_back
from releases.targets import EdgeByRolling, EdgeByWeights, KnativeService, Target, recalled


class Recorded:
    """A target that notes what it is told, and fails where it is told to."""

    def __init__(self, name: str, log: list[str], fails: str = "") -> None:
        self.name, self._log, self._fails = name, log, fails

    def stage(self) -> None:
        self._note("stage")

    def shift(self, percent: int) -> None:
        self._note(f"{percent}")

    def remember(self) -> dict[str, Any]:
        return {}

    def finish(self) -> None:
        self._note("finish")

    def unload(self) -> None:
        self._note("unload")

    def back(self) -> None:
        self._note("back")

    def _note(self, step: str) -> None:
        self._log.append(f"{self.name} {step}")
        if step == self._fails:
            raise ClusterError(f"{self.name} cannot {step}")


def quiet(text: str) -> None:
    """Say nothing."""


def test_traffic_moves_in_steps_after_the_gate() -> None:
    log: list[str] = []
    parts = [Recorded("a", log), Recorded("b", log)]

    def gate() -> str:
        log.append("gate")
        return ""

    def check(percent: int) -> str:
        log.append(f"check {percent}")
        return ""

    assert release(parts, gate=gate, check=check, say=quiet).released
    steps = [f"{part} {percent}" for percent in (5, 25, 50, 100) for part in ("a", "b")]
    shown = [each for each in log if not each.startswith("check")]
    assert shown == ["a stage", "b stage", "gate", *steps, "b finish", "a finish"]
    assert [each for each in log if each.startswith("check")] == [f"check {n}" for n in (5, 25, 50, 100, 100)]


def test_a_gate_that_refuses_lets_no_traffic_through() -> None:
    log: list[str] = []
    outcome = release([Recorded("a", log)], gate=lambda: "too slow", check=lambda _: "", say=quiet)
    assert not outcome.released
    assert outcome.reason == "too slow"
    assert log == ["a stage", "a unload", "a back"]


@pytest.mark.parametrize("bad", [5, 25, 50, 100])
def test_a_failed_check_takes_everything_back(bad: int) -> None:
    log: list[str] = []
    parts = [Recorded("a", log), Recorded("b", log)]
    outcome = release(parts, gate=lambda: "", check=lambda percent: "errors" if percent == bad else "", say=quiet)
    assert outcome.reason == f"at {bad} %: errors"
    # The traffic of all parts first: the rest may take minutes.
    assert log[-4:] == ["b unload", "a unload", "b back", "a back"]
    assert "a finish" not in log


@pytest.mark.parametrize("step", ["stage", "25", "finish"])
def test_what_has_begun_goes_back_when_the_cluster_fails(step: str) -> None:
    log: list[str] = []
    parts = [Recorded("a", log), Recorded("b", log, fails=step), Recorded("c", log)]
    outcome = release(parts, gate=lambda: "", check=lambda _: "", say=quiet)
    assert outcome.reason == f"b cannot {step}"
    assert "a back" in log
    assert "b back" in log
    assert ("c back" in log) == (step != "stage")


@pytest.mark.parametrize("step", ["unload", "back"])
def test_a_target_that_cannot_go_back_does_not_keep_the_others(step: str) -> None:
    log: list[str] = []
    parts = [Recorded("a", log), Recorded("b", log, fails=step)]
    outcome = release(parts, gate=lambda: "no", check=lambda _: "", say=quiet)
    assert outcome.left == [f"b: b cannot {step}"]
    assert log[-1] == "a back"


@pytest.mark.parametrize("moment", ["gate", "check"])
def test_an_interruption_takes_everything_back(moment: str) -> None:
    log: list[str] = []

    def interrupted(now: str) -> str:
        if now == moment:
            raise Interrupted("interrupted by SIGINT")
        return ""

    parts = [Recorded("a", log)]
    outcome = release(parts, gate=lambda: interrupted("gate"), check=lambda _: interrupted("check"), say=quiet)
    assert outcome.reason == "interrupted by SIGINT"
    assert log[-2:] == ["a unload", "a back"]


def test_what_another_release_has_taken_over_is_left_to_it() -> None:
    log: list[str] = []

    def check(percent: int) -> str:
        raise TakenOverError("another one")

    with pytest.raises(TakenOverError):
        release([Recorded("a", log)], gate=lambda: "", check=check, say=quiet)
    assert log == ["a stage", "a 5"]


class LaggingCluster(Kubectl):
    """Knative as it behaves: what is asked for shows in the status some looks later, names of revisions last."""

    def __init__(self, meanwhile: str = "Unknown") -> None:
        super().__init__("n")
        self._meanwhile = meanwhile
        self.pods_wait_for = ""
        self.spec: dict[str, Any] = {
            "template": {"spec": {"image": "old"}},
            "traffic": [{"latestRevision": True, "percent": 100}],
        }
        self.generation = self.observed = 1
        self.revisions = ["f-1"]
        self.routed: list[dict[str, Any]] = []
        self.history: list[dict[str, int]] = []
        self._behind = 0
        self._route()

    def get(self, kind: str, name: str) -> dict[str, Any]:
        self._behind = max(0, self._behind - 1)
        taken_in = self._behind == 0
        if self._behind <= 2:
            self.observed = self.generation
        if taken_in and self._image_of_latest() != self.spec["template"]["spec"]["image"]:
            self.revisions.append(f"f-{len(self.revisions) + 1}")
            self._images[self.revisions[-1]] = self.spec["template"]["spec"]["image"]
        if taken_in:
            self._route()
        state = "True" if taken_in else self._meanwhile
        return {
            "metadata": {"generation": self.generation},
            "spec": copy.deepcopy(self.spec),
            "status": {
                "observedGeneration": self.observed,
                "latestCreatedRevisionName": self.revisions[-1],
                "latestReadyRevisionName": self.revisions[-1],
                "conditions": [{"type": each, "status": state} for each in ("ConfigurationsReady", "RoutesReady")],
                "traffic": copy.deepcopy(self.routed),
            },
        }

    def list(self, kind: str, labels: Mapping[str, str]) -> Sequence[dict[str, Any]]:
        waiting = {"state": {"waiting": {"reason": self.pods_wait_for, "message": "no such image"}}}
        return [{"status": {"containerStatuses": [waiting]}}] if self.pods_wait_for else []

    def merge(self, kind: str, name: str, patch: Mapping[str, Any]) -> None:
        self.spec |= patch["spec"]
        self.generation += 1
        self._behind = 4

    _images: dict[str, str]

    def _image_of_latest(self) -> str:
        self._images = getattr(self, "_images", {"f-1": "old"})
        return self._images[self.revisions[-1]]

    def _route(self) -> None:
        self.routed = [
            {"revisionName": each.get("revisionName", self.revisions[-1]), "percent": each["percent"]}
            for each in self.spec["traffic"]
        ]
        self._image_of_latest()
        self.history.append({self._images[each["revisionName"]]: each["percent"] for each in self.routed})


def remembering(target: Target) -> Target:
    """As a release begins."""
    target.remember()
    return target


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "POLL_S", 0.0)


@pytest.mark.usefixtures("no_waiting")
def test_a_function_moves_to_its_new_revision_and_follows_the_latest_again() -> None:
    cluster = LaggingCluster()
    function = remembering(KnativeService(cluster, "f", {"spec": {"image": "new"}}))
    shares: list[int] = []

    def check(percent: int) -> str:
        shares.append(cluster.history[-1].get("new", 0))
        return ""

    assert release([function], gate=lambda: "", check=check, say=quiet).released
    assert shares == [5, 25, 50, 100, 100]
    assert cluster.spec["traffic"] == [{"latestRevision": True, "percent": 100}]


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("meanwhile", ["Unknown", "False"])
def test_a_refused_revision_gets_no_traffic_on_its_way_out(meanwhile: str) -> None:
    cluster = LaggingCluster(meanwhile)
    function = remembering(KnativeService(cluster, "f", {"spec": {"image": "new"}}))
    outcome = release([function], gate=lambda: "no", check=lambda _: "", say=quiet)
    assert not outcome.released
    assert max(shares.get("new", 0) for shares in cluster.history) == 0
    assert cluster.spec == {
        "template": {"spec": {"image": "old"}, "metadata": {"annotations": {}, "labels": {}}},
        "traffic": [{"latestRevision": True, "percent": 100}],
    }


@pytest.mark.usefixtures("no_waiting")
def test_a_function_in_which_nothing_has_changed_has_its_tag_and_all_of_its_traffic() -> None:
    cluster = LaggingCluster()
    function = remembering(KnativeService(cluster, "f", {"spec": {"image": "old"}}))
    function.stage()
    assert cluster.spec["traffic"] == [{"revisionName": "f-1", "percent": 100, "tag": "candidate"}]
    function.shift(25)
    function.finish()
    assert all(shares == {"old": 100} for shares in cluster.history)


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("percent", [5, 50, 100])
def test_what_a_dead_release_has_left_goes_back_from_what_it_remembered(percent: int) -> None:
    cluster = LaggingCluster()
    function = KnativeService(cluster, "f", {"spec": {"image": "new"}})
    remembered = json.loads(json.dumps(function.remember()))
    function.stage()
    function.shift(percent)
    begun = len(cluster.history)
    assert take_back([recalled(cluster, remembered)], quiet) == []
    # Some looks pass before the cluster has taken in what it was asked for; from then on nothing is new.
    after = [shares.get("new", 0) for shares in cluster.history[begun:]]
    assert after == sorted(after, reverse=True)
    assert cluster.spec["template"]["spec"] == {"image": "old"}
    assert cluster.spec["traffic"] == [{"latestRevision": True, "percent": 100}]


@pytest.mark.usefixtures("no_waiting")
def test_a_revision_whose_pods_cannot_start_is_not_waited_for_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "SURE_S", 0.0)
    cluster = LaggingCluster()
    cluster.pods_wait_for = "ImagePullBackOff"
    function = remembering(KnativeService(cluster, "f", {"spec": {"image": "missing"}}))
    with pytest.raises(ClusterError, match="f: the new revision does not start: ImagePullBackOff: no such image"):
        function.stage()


class Objects(Kubectl):
    """Objects by kind and name, as they were applied."""

    def __init__(self, **objects: dict[str, Any]) -> None:
        super().__init__("n")
        self.objects = {tuple(name.split("_")): each for name, each in objects.items()}
        self.objects["deployment", "edge"] = copy.deepcopy(RUNNING)
        self.objects["service", "edge"] = {"spec": {"ports": [{"name": "http", "port": 80, "nodePort": 31000}]}}
        self.undone: list[str] = []
        self.versions = 0

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return copy.deepcopy(self.objects[kind, name])

    def list(self, kind: str, labels: Mapping[str, str]) -> Sequence[dict[str, Any]]:
        found = [each for (of, _), each in self.objects.items() if of == kind]
        return copy.deepcopy([each for each in found if labels.items() <= each["metadata"].get("labels", {}).items()])

    def exists(self, kind: str, name: str) -> bool:
        return (kind, name) in self.objects

    def merge(self, kind: str, name: str, patch: Mapping[str, Any]) -> None:
        self.objects[kind, name]["spec"] |= patch["spec"]
        if "template" in patch["spec"]:
            self.objects[kind, name]["metadata"]["annotations"] = {REVISION: "8"}

    def apply(self, manifest: Mapping[str, Any]) -> None:
        self.objects[manifest["kind"].lower(), manifest["metadata"]["name"]] = copy.deepcopy(dict(manifest))

    def create(self, manifest: Mapping[str, Any]) -> bool:
        if ("configmap", manifest["metadata"]["name"]) in self.objects:
            return False
        self.replace(manifest)
        return True

    def replace(self, manifest: Mapping[str, Any]) -> None:
        now = self.objects.get(("configmap", manifest["metadata"]["name"]))
        asked = manifest["metadata"].get("resourceVersion")
        if now is not None and asked is not None and now["metadata"]["resourceVersion"] != asked:
            raise ClusterError("Conflict")
        self.versions += 1
        made = copy.deepcopy(dict(manifest))
        made["metadata"]["resourceVersion"] = str(self.versions)
        self.objects["configmap", made["metadata"]["name"]] = made

    def delete(self, kind: str, name: str) -> None:
        self.objects.pop((kind, name), None)

    def delete_with_pods(self, name: str, timeout_s: float) -> None:
        self.delete("deployment", name)

    def rolled_out(self, name: str, timeout_s: float) -> None:
        pass

    def undo(self, name: str, revision: str) -> None:
        self.undone.append(f"{name} to {revision}")


REVISION = "deployment.kubernetes.io/revision"
RUNNING = {
    "metadata": {"annotations": {REVISION: "7"}},
    "spec": {"template": {"metadata": {"annotations": {"old": "1"}}}},
    "status": {"replicas": 4},
}
EDGE_LABELS = {"app.kubernetes.io/instance": "d", "app.kubernetes.io/component": "edge"}
EDGE: dict[str, Any] = {
    "kind": "Deployment",
    "metadata": {"name": "edge", "labels": EDGE_LABELS},
    "spec": {
        "selector": {"matchLabels": EDGE_LABELS},
        "template": {
            "metadata": {"labels": EDGE_LABELS},
            "spec": {"containers": [{"name": "edge", "env": [{"name": "DORMOUSE_AGENT_TARGET", "value": "old"}]}]},
        },
    },
}
ROUTE = {"spec": {"rules": [{"backendRefs": [{"name": "edge", "port": 80}], "timeouts": {"request": "0s"}}]}}


def policy(name: str, pods: Mapping[str, str], peers: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """A network policy of the chart."""
    peer = [{"podSelector": {"matchLabels": dict(each)}} for each in peers]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/instance": "d"}},
        "spec": {
            "podSelector": {"matchLabels": dict(pods)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": peer, "ports": [{"port": 1}]}],
            "egress": [],
        },
    }


def weights(cluster: Objects) -> dict[str, int]:
    (rule,) = cluster.objects["httproute", "edge"]["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s"}
    return {each["name"]: each["weight"] for each in rule["backendRefs"]}


def test_the_edge_moves_by_the_weights_of_its_route_with_as_many_replicas_as_that_takes() -> None:
    cluster = Objects(httproute_edge=copy.deepcopy(ROUTE))
    edge = remembering(EdgeByWeights(cluster, "edge", EDGE, {"DORMOUSE_AGENT_TARGET": "tag"}))
    seen: list[dict[str, int]] = []
    replicas: list[int] = []

    def check(percent: int) -> str:
        seen.append(weights(cluster))
        if cluster.exists("deployment", "edge-candidate"):
            replicas.append(cluster.get("deployment", "edge-candidate")["spec"]["replicas"])
        return ""

    assert release([edge], gate=lambda: "", check=check, say=quiet).released
    assert seen[0] == {"edge": 95, "edge-candidate": 5}
    assert seen[-1] == {"edge": 100}
    assert replicas == [1, 1, 2, 4]
    assert ("deployment", "edge-candidate") not in cluster.objects


def test_the_candidate_edge_is_nobody_s_but_its_own_service_s_and_may_what_the_edge_may() -> None:
    database, other = {"app.kubernetes.io/component": "postgres"}, {"app.kubernetes.io/component": "agent-fn"}
    cluster = Objects(
        networkpolicy_edge=policy("edge", EDGE_LABELS, []),
        networkpolicy_postgres=policy("postgres", database, [other, EDGE_LABELS]),
        networkpolicy_ollama=policy("ollama", {}, [other]),
    )
    edge = EdgeByRolling(cluster, "edge", EDGE, {"DORMOUSE_AGENT_TARGET": "tag"})
    edge.stage()
    made = cluster.objects["deployment", "edge-candidate"]["spec"]
    labels = made["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "edge-candidate"
    assert cluster.objects["service", "edge-candidate"]["spec"]["selector"].items() <= labels.items()
    assert cluster.objects["service", "edge-candidate"]["spec"]["ports"] == [{"name": "http", "port": 80}]
    assert cluster.objects["networkpolicy", "edge-candidate"]["spec"]["podSelector"] == {"matchLabels": labels}
    let_in = cluster.objects["networkpolicy", "postgres-candidate"]["spec"]
    assert let_in["podSelector"] == {"matchLabels": database}
    assert let_in["ingress"] == [{"from": [{"podSelector": {"matchLabels": labels}}], "ports": [{"port": 1}]}]
    assert let_in["policyTypes"] == ["Ingress"]
    assert ("networkpolicy", "ollama-candidate") not in cluster.objects
    assert made["template"]["spec"]["containers"][0]["env"][0]["value"] == "tag"
    assert EDGE["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == "old"
    edge.finish()
    rolled = cluster.get("deployment", "edge")["spec"]["template"]
    assert rolled["spec"] == EDGE["spec"]["template"]["spec"]
    assert rolled["metadata"]["annotations"] == {"old": None}
    assert not [name for _, name in cluster.objects if name.endswith("-candidate")]


@pytest.mark.parametrize("kind", [EdgeByRolling, EdgeByWeights])
def test_an_edge_that_has_rolled_is_rolled_back(kind: type[EdgeByRolling]) -> None:
    cluster = Objects(httproute_edge=copy.deepcopy(ROUTE))
    edge = remembering(kind(cluster, "edge", EDGE, {}))
    finished = iter(["", "", "", "", "errors"])
    outcome = release([edge], gate=lambda: "", check=lambda _: next(finished), say=quiet)
    assert outcome.reason == "when it had finished: errors"
    assert cluster.undone == ["edge to 7"]


def record(cluster: Objects, owner: str) -> Record:
    return Record(cluster, "d-release", owner=owner, what="tag 2")


def test_one_release_at_a_time() -> None:
    cluster = Objects()
    first = record(cluster, "first")
    assert first.claim() == []

    class Beating(Objects):
        def get(self, kind: str, name: str) -> dict[str, Any]:
            first.write([])
            return cluster.get(kind, name)

        def exists(self, kind: str, name: str) -> bool:
            return True

        def create(self, manifest: Mapping[str, Any]) -> bool:
            return False

    with pytest.raises(ClusterError, match="a release is under way here: tag 2, by first"):
        record(Beating(), "second").claim(watch_s=0.01)
    first.close()
    assert record(cluster, "third").claim() == []


def test_a_dead_release_tells_its_successor_what_to_go_back_to_and_may_not_go_on() -> None:
    cluster = Objects()
    dead = record(cluster, "dead")
    dead.claim()
    dead.write([{"kind": "function", "name": "f"}])
    successor = record(cluster, "successor")
    assert successor.claim(watch_s=0.01) == [{"kind": "function", "name": "f"}]
    with contextlib.suppress(ClusterError):
        dead.write([])
    with pytest.raises(TakenOverError):
        dead.held()
    dead.close()
    assert cluster.get("configmap", "d-release")["data"]["owner"] == "successor"
    successor.held()
