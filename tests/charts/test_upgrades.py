"""What an upgrade or a rollback meets: fields that cannot be changed, and pods that need not be restarted."""

import subprocess
from pathlib import Path

import pytest

from tests.charts.rendering import CASES, EXTERNAL, PRODUCTION, Manifest, Render, named, of_kind

CHANGES = (
    ("image.tag=next",),
    ("image.pullPolicy=Always", "image.pullSecrets={other}"),
    ("pods.labels.team=search", "pods.annotations.scan=no", "pods.nodeSelector.pool=b", "pods.priorityClass=high"),
    ("postgres.applicationRole=other", "postgres.certificates=authorities"),
    ("loadtest.users=40",),
)

AWAKE = (*PRODUCTION, "--set", "ollama.scaleToZero.enabled=false")
"""Ollama's instances do not sleep, so that jobs can wait for them."""


def fixed(document: Manifest) -> object:
    """What Kubernetes lets nobody change in an object of this kind."""
    spec = document.get("spec", {})
    match document["kind"]:
        case "Job":
            return {key: value for key, value in spec.items() if key not in ("ttlSecondsAfterFinished", "parallelism")}
        case "StatefulSet":
            free = {"replicas", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy"}
            return {key: value for key, value in spec.items() if key not in free}
        case "Deployment":
            return spec["selector"]
        case "Service":
            return spec.get("clusterIP")
        case "RoleBinding":
            return document["roleRef"]
        case "PersistentVolumeClaim":
            return {key: value for key, value in spec.items() if key != "resources"}
        case _:
            return None


@pytest.mark.parametrize("case", ["trial", "production"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change[0])
def test_nothing_that_cannot_be_changed_is_changed(render: Render, case: str, change: tuple[str, ...]) -> None:
    options = (*CASES[case], "--set", "loadtest.enabled=true")
    before, after = render(*options), render(*options, "--set", ",".join(change))
    known = {(d["apiVersion"], d["kind"], d["metadata"]["name"]): fixed(d) for d in before}
    met = 0
    for document in after:
        key = document["apiVersion"], document["kind"], document["metadata"]["name"]
        if key in known:
            met += 1
            assert fixed(document) == known[key], key
    assert met > 20


def test_a_rollback_runs_no_migrations_of_an_older_version(render: Render) -> None:
    hooks = [
        document["metadata"]["annotations"]["helm.sh/hook"]
        for document in render(*PRODUCTION, "--is-upgrade")
        if "helm.sh/hook" in (document["metadata"].get("annotations") or {})
    ]
    assert hooks == ["pre-upgrade"]


def test_another_model_restarts_no_instance(render: Render) -> None:
    before, after = render(*AWAKE), render(*AWAKE, "--set", "ollama.models={qwen3:8b,all-minilm,gemma3}")
    assert named(before, "StatefulSet", "dm-ollama") == named(after, "StatefulSet", "dm-ollama")
    jobs = [
        {
            job["metadata"]["name"]: job["metadata"]["annotations"]["dormouse/model"]
            for job in of_kind(documents, "Job")
            if "preload" in job["metadata"]["name"]
        }
        for documents in (before, after)
    ]
    assert jobs[0].items() < jobs[1].items()
    assert set(jobs[1].values()) - set(jobs[0].values()) == {"gemma3"}


def test_a_model_that_is_there_is_not_fetched_again(render: Render, tmp_path: Path) -> None:
    jobs = [job for job in of_kind(render(*AWAKE), "Job") if "preload" in job["metadata"]["name"]]
    (script,) = jobs[0]["spec"]["template"]["spec"]["containers"][0]["args"]
    program, said = tmp_path / "ollama", tmp_path / "said"
    program.write_text(
        f'#!/bin/sh\necho "$OLLAMA_HOST $*" >>"{said}"\n'
        'case "$1 $OLLAMA_HOST" in "show dm-ollama-0."*) ;; show*) exit 1 ;; esac\n'
    )
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "MODEL": "qwen3:8b"}
    subprocess.run(["sh", "-ec", script], check=True, env=environment, timeout=10)
    pulled = [line.split(".")[0] for line in said.read_text().splitlines() if "pull qwen3:8b" in line]
    assert pulled == ["dm-ollama-1"]  # the first instance has it


def test_an_instance_is_ready_once_it_has_all_models_and_stays_so(render: Render, tmp_path: Path) -> None:
    data = named(render(*EXTERNAL), "ConfigMap", "dm-ollama")["data"]
    (tmp_path / "models").write_text(data["models"])
    script = data["ready.sh"].replace("/etc/dormouse/models", str(tmp_path)).replace("/models/.", f"{tmp_path}/.")
    listed = tmp_path / "listed"
    program = tmp_path / "ollama"
    program.write_text(f'#!/bin/sh\ncat "{listed}"\n')
    program.chmod(0o755)

    def ready(*lines: str) -> tuple[int, str]:
        listed.write_text(
            "NAME    ID    SIZE    MODIFIED\n" + "".join(f"{line}    0a    1 GB    now\n" for line in lines)
        )
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=environment, timeout=10)
        return done.returncode, done.stdout.strip()

    assert ready("qwen3:8b") == (1, "all-minilm:latest is missing")
    assert ready("qwen3:8b-q4", "all-minilm:latest") == (1, "qwen3:8b is missing")
    assert ready("qwen3:8b", "all-minilm:latest") == (0, "")
    (tmp_path / "models").write_text("gemma3:latest\n" + data["models"])  # while that one is fetched the others answer
    assert ready("qwen3:8b", "all-minilm:latest") == (0, "")
    listed.unlink()
    program.write_text("#!/bin/sh\nexit 1\n")
    assert subprocess.run(["sh", "-c", script], env={"PATH": f"{tmp_path}:/bin"}, timeout=10).returncode == 1
