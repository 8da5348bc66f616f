"""Ollama at zero: who decides, who may ask, who waits for whom."""

import re
import signal
import subprocess
from pathlib import Path

from edge.metrics import MODEL_DEMAND

from tests.charts.rendering import EXTERNAL, PRODUCTION, TRIAL, Render, named, of_kind, variables

ASLEEP = (*EXTERNAL, "--set", "ollama.scaleToZero.enabled=true")


def test_the_replicas_are_kedas_where_ollama_sleeps_and_the_charts_where_not(render: Render) -> None:
    asleep, awake = render(*PRODUCTION), render(*EXTERNAL)
    assert "replicas" not in named(asleep, "StatefulSet", "dm-ollama")["spec"]
    assert named(awake, "StatefulSet", "dm-ollama")["spec"]["replicas"] == 1
    assert not of_kind(awake, "ScaledObject")
    assert not of_kind(render(*TRIAL, "--set", "ollama.scaleToZero.enabled=true"), "ScaledObject"), "there is no Ollama"
    (scaled,) = of_kind(asleep, "ScaledObject")
    target = scaled["spec"]["scaleTargetRef"]
    assert named(asleep, target["kind"], target["name"])["apiVersion"] == target["apiVersion"]
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (0, 2)


def test_keda_asks_every_edge_for_a_figure_that_there_is_and_may_do_so(render: Render) -> None:
    documents = render(*PRODUCTION)
    (scaled,) = of_kind(documents, "ScaledObject")
    asked = scaled["spec"]["triggers"][0]["metadata"]
    name, namespace, port = re.fullmatch(r"http://([^.]+)[.]([^.]+)[.]svc:(\d+)/metrics", asked["url"]).groups()  # type: ignore[union-attr]
    assert (namespace, asked["valueLocation"]) == ("apart", next(iter(MODEL_DEMAND.collect())).name)
    service = named(documents, "Service", name)["spec"]
    labels = named(documents, "Deployment", "dm-edge")["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    # A release tries a new edge beside the old one, under another component: its runs count as well.
    assert service["selector"].items() <= {**labels, "app.kubernetes.io/component": "edge-candidate"}.items()
    # KEDA looks for the port's number among those of the Service's endpoints.
    assert [each["port"] for each in service["ports"]] == [int(port)]
    others = [d["spec"]["template"]["metadata"]["labels"] for d in of_kind(documents, "StatefulSet")]
    assert not any(service["selector"].items() <= each.items() for each in others)
    ingress = named(documents, "NetworkPolicy", "dm-edge")["spec"]["ingress"]
    (figures,) = [rule for rule in ingress if {"port": int(port)} in rule["ports"]]
    assert {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}} in figures["from"]


def test_runs_wait_for_models_that_sleep_and_for_no_others(render: Render) -> None:
    asleep, awake = (
        variables(named(render(*o), "Deployment", "dm-edge")["spec"]["template"]) for o in (ASLEEP, EXTERNAL)
    )
    assert asleep["DORMOUSE_MODEL_WAKE_S"] == "900"
    assert "DORMOUSE_MODEL_WAKE_S" not in awake


def test_nobody_waits_for_an_instance_that_sleeps_and_one_that_wakes_fetches_its_models(
    render: Render, tmp_path: Path
) -> None:
    documents = render(*ASLEEP)
    assert not [job for job in of_kind(documents, "Job") if "preload" in job["metadata"]["name"]]
    pod = named(documents, "StatefulSet", "dm-ollama")["spec"]["template"]["spec"]
    (sidecar,) = pod["initContainers"]
    assert sidecar["restartPolicy"] == "Always", "one that ends would have to end before Ollama starts"
    data = named(documents, "ConfigMap", "dm-ollama")["data"]
    models, said, program = tmp_path / "models", tmp_path / "said", tmp_path / "ollama"
    models.write_text(data["models"])
    program.write_text(
        f'#!/bin/sh\ncase "$*" in "show qwen3:8b") ;; show*) exit 1 ;; *) echo "$*" >>{said}; exit 1 ;; esac\n'
    )
    program.chmod(0o755)
    script = data["fetch.sh"].replace("/etc/dormouse/models/models", str(models))
    fetching = subprocess.Popen(["/bin/sh", "-c", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    try:
        while not said.exists() or not said.read_text():
            assert fetching.poll() is None
    finally:
        fetching.send_signal(signal.SIGTERM)
    assert fetching.wait(5) == 0, "it ends at once, also while it waits"
    assert set(said.read_text().split("\n")) == {"pull all-minilm:latest", ""}
