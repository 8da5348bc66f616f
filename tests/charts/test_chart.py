"""The chart: what it renders is valid, confined, and speaks of things that exist."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from charts import values_docs
from releases.targets import TAG
from tests.charts import custom_resources
from tests.charts.rendering import (
    AIR_GAPPED,
    CASES,
    CHART,
    EXTERNAL,
    ON_THE_CPU,
    PRODUCTION,
    ROOT,
    TRIAL,
    Manifest,
    Render,
    named,
    of_kind,
    pods,
    template,
    variables,
)

LOADTEST = ("--set", "loadtest.enabled=true")
VALID: set[str] = set()


def test_the_schema_and_the_readme_are_made_from_the_values() -> None:
    assert json.loads((CHART / "values.schema.json").read_text()) == values_docs.schema_of(CHART / "values.yaml"), (
        "run `make chart-docs`"
    )
    readme = (CHART / "README.md").read_text()
    assert values_docs.readme_with(readme, values_docs.table_of(CHART / "values.yaml")) == readme, (
        "run `make chart-docs`"
    )


@pytest.mark.parametrize("case", ["trial", "production", "air-gapped"])
def test_helm_finds_nothing_to_complain_of(helm: str, case: str) -> None:
    command = [helm, "lint", "--strict", "--quiet", str(CHART), *CASES[case]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES)
def test_what_is_rendered_is_valid(render: Render, case: str) -> None:
    documents = render(*CASES[case])
    assert len(documents) > 15
    for document in documents:
        text = json.dumps(document, sort_keys=True)
        if text in VALID:  # in another case, too
            continue
        if custom_resources.is_custom(document):
            custom_resources.validate(document)
        else:
            kubernetes_validate.validate(document, "1.34", strict=True)
        VALID.add(text)
    names = [(d["kind"], d["apiVersion"], d["metadata"]["name"]) for d in documents]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Service", ("template", "spec", "timeoutSecond"), 600),
        ("Service", ("template", "spec", "timeoutSeconds"), 900),
        ("Service", ("template", "spec", "hostNetwork"), True),
        ("Service", ("template", "metadata", "annotations", "autoscaling.knative.dev/minScale"), "1"),
        ("Service", ("template", "metadata", "annotations", "autoscaling.knative.dev/window"), "30"),
        ("PodMonitor", ("podMetricsEndpoint",), []),
        ("HTTPRoute", ("rules",), []),
        ("ExternalSecret", ("target", "creation"), "Owner"),
        ("PrometheusRule", ("groups",), [{"name": "a", "rules": [{"alert": "b"}]}]),
    ],
)
def test_a_custom_resource_that_is_wrong_is_noticed(
    render: Render, kind: str, path: tuple[str, ...], value: object
) -> None:
    document = json.loads(
        json.dumps(next(d for d in render(*PRODUCTION) if custom_resources.is_custom(d) and d["kind"] == kind))
    )
    custom_resources.validate(document)
    place = document["spec"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        custom_resources.validate(document)


@pytest.mark.parametrize("case", CASES)
def test_no_pod_asks_for_more_than_the_restricted_standard_allows(render: Render, case: str) -> None:
    allowed = {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}
    for name, pod in pods(render(*CASES[case], *LOADTEST)):
        spec, of_pod = pod["spec"], pod["spec"].get("securityContext", {})
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers", "shareProcessNamespace"} & spec.keys(), name
        assert not {"sysctls", "seLinuxOptions", "windowsOptions"} & of_pod.keys(), name
        for volume in spec.get("volumes", []):
            assert volume.keys() - {"name"} <= allowed, name
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, name
            assert own["readOnlyRootFilesystem"] is True, name
            assert own["capabilities"] == {"drop": ["ALL"]}, name
            assert not own.keys() & {"privileged", "procMount", "seLinuxOptions"}, name
            assert (own | of_pod)["runAsNonRoot"] is True, name
            assert own.get("runAsUser", of_pod.get("runAsUser")), name
            assert own.get("seccompProfile", of_pod.get("seccompProfile")) == {"type": "RuntimeDefault"}, name
            assert not [port for port in container.get("ports", []) if "hostPort" in port], name


@pytest.mark.parametrize("case", CASES)
def test_pods_take_what_they_say_and_say_what_they_run(render: Render, case: str) -> None:
    for name, pod in pods(render(*CASES[case], *LOADTEST)):
        for container in pod["spec"]["containers"]:
            resources = container["resources"]
            assert {"cpu", "memory"} <= resources["requests"].keys(), name
            assert "memory" in resources["limits"], name
            assert re.search(r":[^/:]+$", container["image"]), name
            assert not container["image"].endswith(":latest"), name
            for variable in container.get("env", []):
                # A secret comes from a Secret; what is written here is in the release, for everybody who may read it.
                if re.search(r"PASSWORD|SECRET|TOKEN|_URL$|_KEY$", variable["name"]):
                    assert re.fullmatch("(/|https?://)[^@]+", variable.get("value", "/…")), (name, variable["name"])


@pytest.mark.parametrize("case", CASES)
def test_only_the_keys_jobs_have_a_token_for_the_api_server(render: Render, case: str) -> None:
    documents = render(*CASES[case])
    closed = {
        account["metadata"]["name"]
        for account in of_kind(documents, "ServiceAccount")
        if account.get("automountServiceAccountToken") is False
    }
    for name, pod in pods(documents):
        spec = pod["spec"]
        if spec.get("automountServiceAccountToken") is not False and spec.get("serviceAccountName") not in closed:
            assert name.startswith("dm-keys"), name
    for role in of_kind(documents, "Role"):
        for rule in role["rules"]:
            assert rule["resources"] == ["secrets"]
            assert rule["resourceNames"] == ["dm-keys"]
    assert not of_kind(documents, "ClusterRole")


def test_functions_sleep_speak_grpc_and_are_not_seen_from_outside(render: Render) -> None:
    functions = of_kind(render(*PRODUCTION), "Service", "serving.knative.dev")
    assert {f["metadata"]["name"] for f in functions} == {"dm-agent-fn", "dm-tool-fn", "dm-embed-fn"}
    for function in functions:
        assert function["metadata"]["labels"]["networking.knative.dev/visibility"] == "cluster-local"
        spec = function["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        assert container["ports"] == [{"name": "h2c", "containerPort": 8080}]
        assert container["readinessProbe"]["grpc"] == {"port": 8080}
        assert spec["timeoutSeconds"] == spec["responseStartTimeoutSeconds"] == 600
        assert spec["containerConcurrency"] > 0
    scales = {
        f["metadata"]["name"]: f["spec"]["template"]["metadata"]["annotations"]["autoscaling.knative.dev/min-scale"]
        for f in functions
    }
    assert scales == {"dm-agent-fn": "1", "dm-tool-fn": "0", "dm-embed-fn": "0"}


@pytest.mark.parametrize("case", ["trial", "production", "air-gapped", "defaults"])
def test_every_pod_has_a_policy_for_both_ways(render: Render, case: str) -> None:
    documents = render(*CASES[case])
    policies = of_kind(documents, "NetworkPolicy")
    for name, pod in pods(documents):
        labels: Mapping[str, str] = pod["metadata"]["labels"]
        matching = [p for p in policies if p["spec"]["podSelector"]["matchLabels"].items() <= labels.items()]
        assert matching, name
        for policy in matching:
            assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


def callers(documents: list[Manifest], component: str) -> set[tuple[str, int]]:
    """Who may call a component: the namespace or network ("*": any pod), and the port."""
    (policy,) = [p for p in of_kind(documents, "NetworkPolicy") if p["metadata"]["name"] == f"dm-{component}"]
    return {
        (
            peer["ipBlock"]["cidr"]
            if "ipBlock" in peer
            else peer["namespaceSelector"]["matchLabels"].get("kubernetes.io/metadata.name", "*"),
            port["port"],
        )
        for rule in policy["spec"]["ingress"]
        for peer in rule["from"]
        for port in rule["ports"]
    }


@pytest.mark.parametrize("case", ["trial", "production"])
@pytest.mark.parametrize("component", ["agent-fn", "tool-fn", "embed-fn"])
def test_nobody_but_knative_reaches_a_function(render: Render, component: str, case: str) -> None:
    assert callers(render(*CASES[case]), component) == {
        # Only through the proxy that counts calls: never on 8080.
        ("kourier-system", 8013),
        ("kourier-system", 8112),
        ("knative-serving", 8013),
        ("knative-serving", 8112),
        ("knative-serving", 9090),
        ("monitoring", 9464),
    }


@pytest.mark.parametrize("component", ["edge", "agent-fn", "tool-fn", "embed-fn"])
def test_functions_are_called_through_knatives_ingress(render: Render, component: str) -> None:
    namespaces = {
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for peer, _ in reached(render(*TRIAL), component)
        if peer and "namespaceSelector" in peer
    }
    assert namespaces == {"kube-system"} | ({"kourier-system"} if component != "embed-fn" else set())


def test_the_edge_takes_calls_from_whom_the_values_name(render: Render) -> None:
    assert callers(render(*TRIAL), "edge") == {("*", 8080), ("monitoring", 9464)}
    assert callers(render(*PRODUCTION), "edge") == {("ingress-nginx", 8080), ("monitoring", 9464), ("keda", 9464)}
    assert ("10.2.0.0/16", 8080) in callers(render(*AIR_GAPPED), "edge")


def test_the_databases_of_a_trial_know_the_edge_that_a_release_tries(render: Render) -> None:
    for database in ("postgres", "redis"):
        (policy,) = [p for p in of_kind(render(*TRIAL), "NetworkPolicy") if p["metadata"]["name"] == f"dm-{database}"]
        components = [
            peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
            for peer in policy["spec"]["ingress"][0]["from"]
        ]
        assert {"edge", f"edge-{TAG}"} <= set(components)


def test_the_jobs_with_an_account_reach_the_api_server_and_nothing_else(render: Render) -> None:
    documents = render(*TRIAL)
    assert callers(documents, "keys") == set()
    assert {port for _, port in reached(documents, "keys")} == {443, 6443, 8443, 16443}


def reached(documents: list[Manifest], component: str) -> list[tuple[Any, Any]]:
    """Whom a component may call: the peer (None: anybody) and the port (None: any)."""
    (policy,) = [p for p in of_kind(documents, "NetworkPolicy") if p["metadata"]["name"] == f"dm-{component}"]
    return [
        (peer, port["port"])
        for rule in policy["spec"]["egress"]
        for peer in rule.get("to", [None])
        for port in rule.get("ports", [{"port": None}])
    ]


@pytest.mark.parametrize("case", ["trial", "production", "air-gapped"])
def test_a_tool_reaches_no_private_network_but_those_that_are_named(render: Render, case: str) -> None:
    documents = render(*CASES[case])
    to = reached(documents, "tool-fn")
    assert None not in [peer for peer, _ in to]
    blocks = [(peer["ipBlock"], port) for peer, port in to if "ipBlock" in peer]
    anywhere = [(block, port) for block, port in blocks if block["cidr"] == "0.0.0.0/0"]
    assert {port for _, port in anywhere} == (set() if case == "air-gapped" else {80, 443})
    for block, _ in anywhere:
        own = {"203.0.113.0/24"} if case == "production" else set()
        assert {"10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16"} | own <= set(block["except"])
    named = {(block["cidr"], port) for block, port in blocks} - {("0.0.0.0/0", 80), ("0.0.0.0/0", 443)}
    named -= {("::/0", 80), ("::/0", 443), ("169.254.20.10/32", 53)}
    databases = {"trial": set(), "production": {("10.0.0.0/16", 5432)}, "air-gapped": {("10.1.0.0/16", 5432)}}
    assert named == databases[case]


def test_traces_go_to_the_collector_and_to_nothing_else(render: Render) -> None:
    inside = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "observability"}}}
    for component in ("edge", "agent-fn", "tool-fn", "embed-fn"):
        assert (inside, 4318) in reached(render(*AIR_GAPPED), component)
    private = render(*PRODUCTION, "--set", "telemetry.cidrs={10.9.0.0/24}")
    assert ({"ipBlock": {"cidr": "10.9.0.0/24"}}, 443) in reached(private, "embed-fn")


def test_a_bucket_is_reached_where_its_endpoint_says_it_is(render: Render) -> None:
    here = ("--set", "files.place=s3://b/p,files.env.AWS_ENDPOINT_URL=http://minio.storage:9000")
    assert (None, 9000) in reached(render(*EXTERNAL, *here), "edge")
    assert (None, 9000) not in reached(render(*EXTERNAL), "edge")


def test_models_come_from_the_internet_or_from_the_networks_that_are_named(render: Render) -> None:
    assert [peer for peer, port in reached(render(*AIR_GAPPED), "ollama") if port != 53] == [
        {"ipBlock": {"cidr": "10.1.0.0/16"}}
    ] * 2
    assert {"0.0.0.0/0", "::/0"} <= {
        peer["ipBlock"]["cidr"] for peer, _ in reached(render(*PRODUCTION), "ollama") if "ipBlock" in peer
    }


def test_an_installation_that_waits_does_not_wait_for_services_that_wait_for_the_schema(render: Render) -> None:
    def migrations(*options: str) -> Manifest:
        (job,) = [d for d in of_kind(render(*EXTERNAL, *options), "Job") if "-migrations" in d["metadata"]["name"]]
        return job

    assert "annotations" not in migrations()["metadata"]
    assert migrations("--is-upgrade")["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"
    # A job cannot be changed: another image is another job.
    assert migrations()["metadata"]["name"] != migrations("--set", "image.tag=next")["metadata"]["name"]


@pytest.mark.parametrize("case", CASES)
def test_what_helm_runs_by_itself_is_removed_by_itself(render: Render, case: str) -> None:
    for document in [*render(*CASES[case]), *render(*CASES[case], "--is-upgrade")]:
        annotations = document["metadata"].get("annotations") or {}
        if "helm.sh/hook" in annotations:  # an uninstallation leaves these alone
            assert "hook-succeeded" in annotations["helm.sh/hook-delete-policy"], document["metadata"]["name"]


@pytest.mark.parametrize("case", CASES)
def test_another_version_of_the_chart_restarts_nothing_by_its_name(render: Render, case: str) -> None:
    for name, pod in pods(render(*CASES[case])):
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(pod["metadata"]["labels"]), name


def test_proxies_and_pages_are_told_to_the_edge(render: Render) -> None:
    env = variables(named(render(*PRODUCTION), "Deployment", "dm-edge")["spec"]["template"])
    assert env["DORMOUSE_TRUSTED_PROXIES"] == "10.0.0.0/16"
    assert env["DORMOUSE_CORS_ORIGINS"] == "https://app.example.org"


def test_files_lie_in_a_bucket_or_on_a_volume_that_outlives_the_release(render: Render) -> None:
    def place(documents: list[Manifest]) -> str | None:
        return variables(named(documents, "Deployment", "dm-edge")["spec"]["template"]).get("DORMOUSE_FILES")

    assert place(render(*PRODUCTION)) == "s3://documents/dormouse"
    assert place(render(*EXTERNAL)) is None
    documents = render(*AIR_GAPPED)
    assert place(documents) == "/var/lib/dormouse/files"
    (claim,) = of_kind(documents, "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_ollama_takes_gpus_where_they_are_and_is_emptied_one_by_one(render: Render) -> None:
    (ollama,) = of_kind(render(*PRODUCTION), "StatefulSet")
    pod = ollama["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["nodeSelector"] == {"dormouse/pool": "gpu"}
    assert pod["tolerations"]
    assert "dm-ollama" in {d["metadata"]["name"] for d in of_kind(render(*PRODUCTION), "PodDisruptionBudget")}
    (on_the_cpu,) = of_kind(render(*ON_THE_CPU), "StatefulSet")
    assert "nvidia.com/gpu" not in on_the_cpu["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert "dm-ollama" not in {d["metadata"]["name"] for d in of_kind(render(*ON_THE_CPU), "PodDisruptionBudget")}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ((), "postgres.existingSecret"),
        (("--set", "postgres.existingSecret=a"), "redis.existingSecret"),
        ((*EXTERNAL, "--set", "edge.replica=3"), "'replica' not allowed"),
        ((*EXTERNAL, "--set", "functions.agent.minScale=-1"), "/functions/agent/minScale"),
        ((*EXTERNAL, "--set", "functions.tool.minScale=30"), "maxScale of tool-fn is below its minScale"),
        ((*EXTERNAL, "--set", "functions.tool.drainSeconds=590"), "drainSeconds of tool-fn must be at least 35 below"),
        ((*EXTERNAL, "--set", "functions.agent.timeoutSeconds=601"), "/functions/agent/timeoutSeconds"),
        (
            (*EXTERNAL, "--set", "functions.agent.env.DORMOUSE_DRAIN_S=5"),
            "functions.agent.env: DORMOUSE_DRAIN_S is the",
        ),
        ((*EXTERNAL, "--set", "edge.env.DORMOUSE_REDIS_URL=x"), "edge.env: DORMOUSE_REDIS_URL is the chart's to set"),
        ((*EXTERNAL, "--set", "ollama.enabled=false"), "ollama.url"),
        ((*EXTERNAL, "--set", "gateway.enabled=true"), "gateway.parentRefs"),
        ((*EXTERNAL, "--set", "files.place=/tmp/files"), "/files/place"),
        ((*EXTERNAL, "--set", "files.volume.enabled=true,files.place=s3://b"), "exclude each other"),
        ((*EXTERNAL, "--set", "files.volume.enabled=true,files.volume.accessMode=ReadWriteOnce"), "ReadWriteMany"),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(helm: str, options: tuple[str, ...], complaint: str) -> None:
    done = template(helm, *options)
    assert done.returncode != 0
    assert complaint in done.stderr


def paths(value: Any, path: str = "") -> Iterator[str]:
    """Every value of values.yaml by its path."""
    yield path
    if isinstance(value, dict):
        for name, item in value.items():
            yield from paths(item, f"{path}.{name}" if path else name)


def test_the_guide_speaks_of_values_that_exist() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    known = set(paths(values))
    for name in ("agent", "tool", "embed", "*"):  # each may override the defaults
        known |= {f"functions.{name}.{own}" for own in values["functions"]["defaults"]}
    guide = (ROOT / "docs" / "guides" / "kubernetes.md").read_text()
    areas = "|".join(values)
    named = re.findall(rf"`((?:{areas})\.[A-Za-z.*]+[A-Za-z*])(?:=[^`]*|: [^`]*)?`", guide)
    assert len(named) > 30
    for name in named:
        assert name in known or name.endswith(".*"), name


def sources() -> str:
    parts = ("edge", "agent_fn", "tool_fn", "embed_fn", "migrations", "libs/runtime")
    return "\n".join(path.read_text() for part in parts for path in (ROOT / part / "src").rglob("*.py"))


def test_alerts_and_dashboards_ask_for_metrics_that_exist(render: Render) -> None:
    text = sources()
    asked = set()
    for document in render(*PRODUCTION):
        if document["kind"] in ("PrometheusRule", "ConfigMap"):
            asked |= set(re.findall(r"\b(dormouse_[a-z_]+)", str(document)))
    asked.discard("dormouse_app")
    assert len(asked) > 10
    for name in asked:
        assert re.sub(r"_(total|bucket|count|sum)$", "", name) in text, name


@pytest.mark.parametrize("case", CASES)
def test_every_variable_that_is_set_is_one_that_a_part_reads(render: Render, case: str) -> None:
    text = sources()
    fields = set(re.findall(r"^    ([a-z_]+): ", (ROOT / "edge/src/edge/settings.py").read_text(), re.MULTILINE))
    names = {
        variable["name"]
        for _, pod in pods(render(*CASES[case]))
        for container in pod["spec"]["containers"]
        for variable in container.get("env", [])
    }
    ours = {name for name in names if name.startswith("DORMOUSE_")}
    assert len(ours) > 10
    for name in ours:
        assert name in text or name.removeprefix("DORMOUSE_").lower() in fields, name


def test_whoever_connects_to_postgres_has_the_authorities_of_its_certificate(render: Render) -> None:
    documents = render(*EXTERNAL, "--set", "postgres.certificates=authorities")
    for name, pod in pods(documents):
        for container in pod["spec"]["containers"]:
            connects = any(variable["name"].endswith("POSTGRES_URL") for variable in container.get("env", []))
            mounts = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            assert ("/etc/dormouse/postgres" in mounts) == connects, name
