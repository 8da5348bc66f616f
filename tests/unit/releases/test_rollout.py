"""Releases: the order of the steps, and that whatever fails everything goes back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from releases import targets
from releases.kubectl import ClusterError, Kubectl
from releases.rollout import release
from releases.targets import EdgeByRolling, EdgeByWeights, KnativeService


class Recorded:
    """A target that notes what it is told, and fails where it is told to."""

    def __init__(self, name: str, log: list[str], fails: str = "") -> None:
        self.name, self._log, self._fails = name, log, fails

    def stage(self) -> None:
        self._note("stage")

    def shift(self, percent: int) -> None:
        self._note(f"{percent}")

    def finish(self) -> None:
        self._note("finish")

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
    assert shown == ["a stage", "b stage", "gate", *steps, "a finish", "b finish"]
    assert [each for each in log if each.startswith("check")] == [f"check {n}" for n in (5, 25, 50, 100, 100)]


def test_a_gate_that_refuses_lets_no_traffic_through() -> None:
    log: list[str] = []
    outcome = release([Recorded("a", log)], gate=lambda: "too slow", check=lambda _: "", say=quiet)
    assert not outcome.released
    assert outcome.reason == "too slow"
    assert log == ["a stage", "a back"]


@pytest.mark.parametrize("bad", [5, 25, 50, 100])
def test_a_failed_check_takes_everything_back(bad: int) -> None:
    log: list[str] = []
    parts = [Recorded("a", log), Recorded("b", log)]
    outcome = release(parts, gate=lambda: "", check=lambda percent: "errors" if percent == bad else "", say=quiet)
    assert outcome.reason == f"at {bad} %: errors"
    assert log[-2:] == ["b back", "a back"]
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


def test_a_target_that_cannot_go_back_does_not_keep_the_others() -> None:
    log: list[str] = []
    parts = [Recorded("a", log), Recorded("b", log, fails="back")]
    outcome = release(parts, gate=lambda: "no", check=lambda _: "", say=quiet)
    assert outcome.left == ["b: b cannot back"]
    assert log[-1] == "a back"


def test_an_interruption_takes_everything_back() -> None:
    log: list[str] = []

    def gate() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        release([Recorded("a", log)], gate=gate, check=lambda _: "", say=quiet)
    assert log[-1] == "a back"


class LaggingCluster(Kubectl):
    """Knative as it behaves: what is asked for shows in the status some looks later, names of revisions last."""

    def __init__(self, meanwhile: str = "Unknown") -> None:
        super().__init__("n")
        self._meanwhile = meanwhile
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


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "POLL_S", 0.0)


@pytest.mark.usefixtures("no_waiting")
def test_a_function_moves_to_its_new_revision_and_follows_the_latest_again() -> None:
    cluster = LaggingCluster()
    function = KnativeService(cluster, "f", {"spec": {"image": "new"}})
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
    function = KnativeService(cluster, "f", {"spec": {"image": "new"}})
    outcome = release([function], gate=lambda: "no", check=lambda _: "", say=quiet)
    assert not outcome.released
    assert max(shares.get("new", 0) for shares in cluster.history) == 0
    assert cluster.spec == {
        "template": {"spec": {"image": "old"}, "metadata": {"annotations": {}, "labels": {}}},
        "traffic": [{"latestRevision": True, "percent": 100}],
    }


class Objects(Kubectl):
    """Objects by kind and name, as they were applied."""

    def __init__(self, **objects: dict[str, Any]) -> None:
        super().__init__("n")
        self.objects = {tuple(name.split("_")): each for name, each in objects.items()}
        self.undone: list[str] = []

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return copy.deepcopy(self.objects[kind, name])

    def exists(self, kind: str, name: str) -> bool:
        return (kind, name) in self.objects

    def merge(self, kind: str, name: str, patch: Mapping[str, Any]) -> None:
        self.objects[kind, name]["spec"] |= patch["spec"]

    def apply(self, manifest: Mapping[str, Any]) -> None:
        self.objects[manifest["kind"].lower(), manifest["metadata"]["name"]] = copy.deepcopy(dict(manifest))

    def delete(self, kind: str, name: str) -> None:
        self.objects.pop((kind, name), None)

    def rolled_out(self, name: str, timeout_s: float) -> None:
        pass

    def undo(self, name: str) -> None:
        self.undone.append(name)


EDGE: dict[str, Any] = {
    "kind": "Deployment",
    "metadata": {"name": "edge", "labels": {"app": "d"}},
    "spec": {
        "selector": {"matchLabels": {"app": "d", "app.kubernetes.io/component": "edge"}},
        "template": {
            "metadata": {"labels": {"app": "d", "app.kubernetes.io/component": "edge"}},
            "spec": {"containers": [{"name": "edge", "env": [{"name": "DORMOUSE_AGENT_TARGET", "value": "old"}]}]},
        },
    },
}
ROUTE = {"spec": {"rules": [{"backendRefs": [{"name": "edge", "port": 80}], "timeouts": {"request": "0s"}}]}}


def weights(cluster: Objects) -> dict[str, int]:
    (rule,) = cluster.objects["httproute", "edge"]["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s"}
    return {each["name"]: each["weight"] for each in rule["backendRefs"]}


def test_the_edge_moves_by_the_weights_of_its_route() -> None:
    cluster = Objects(httproute_edge=copy.deepcopy(ROUTE))
    edge = EdgeByWeights(cluster, "edge", EDGE, {"DORMOUSE_AGENT_TARGET": "tag"})
    seen: list[dict[str, int]] = []

    def check(percent: int) -> str:
        seen.append(weights(cluster))
        return ""

    assert release([edge], gate=lambda: "", check=check, say=quiet).released
    assert seen[0] == {"edge": 95, "edge-candidate": 5}
    assert seen[-1] == {"edge": 100}
    assert ("deployment", "edge-candidate") not in cluster.objects


def test_the_candidate_edge_is_nobody_s_but_its_own_service_s() -> None:
    cluster = Objects(networkpolicy_edge={"apiVersion": "v1", "kind": "NetworkPolicy", "metadata": {}, "spec": {}})
    EdgeByRolling(cluster, "edge", EDGE, {"DORMOUSE_AGENT_TARGET": "tag"}).stage()
    made = cluster.objects["deployment", "edge-candidate"]["spec"]
    labels = made["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "edge-candidate"
    assert cluster.objects["service", "edge-candidate"]["spec"]["selector"].items() <= labels.items()
    assert ("networkpolicy", "edge-candidate") in cluster.objects
    assert made["template"]["spec"]["containers"][0]["env"][0]["value"] == "tag"
    assert EDGE["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == "old"


def test_an_edge_that_has_rolled_is_rolled_back() -> None:
    cluster = Objects()
    edge = EdgeByRolling(cluster, "edge", EDGE, {})
    finished = iter(["", "", "", "", "errors"])
    outcome = release([edge], gate=lambda: "", check=lambda _: next(finished), say=quiet)
    assert outcome.reason == "when it had finished: errors"
    assert cluster.undone == ["edge"]
