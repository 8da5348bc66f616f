"""What platform teams set: where pods go, who finds them, what the edge is told, and what Terraform hands over."""

import json
from pathlib import Path

import yaml
from edge.limits.plans import load_plans
from edge.settings import Settings

from terraform.commands import contract, helm_values
from tests.charts.rendering import (
    CHART,
    EXTERNAL,
    PRODUCTION,
    ROOT,
    TRIAL,
    Render,
    named,
    of_kind,
    pods,
    template,
    variables,
)

FUNCTIONS = {"dm-agent-fn", "dm-tool-fn", "dm-embed-fn"}


def test_all_pods_carry_the_labels_and_go_where_they_are_sent(render: Render) -> None:
    taint = {"key": "team", "operator": "Equal", "value": "search", "effect": "NoSchedule"}
    wish = {"team": "search", "pool": "a"}
    options = ("--set-json", f"pods.tolerations=[{json.dumps(taint)}]", "--set", "pods.priorityClass=high")
    for options_of_all in (TRIAL, PRODUCTION):
        documents = render(
            *options_of_all, *options, "--set", "pods.labels.team=search,pods.nodeSelector.pool=a,loadtest.enabled=true"
        )
        for document in documents:
            assert document["metadata"]["labels"]["team"] == "search", document["metadata"]["name"]
        found = set()
        for name, pod in pods(documents):
            assert pod["metadata"]["labels"]["team"] == wish["team"], name
            if name in FUNCTIONS:  # Knative takes these where they are switched on: by values of their own
                assert not {"tolerations", "nodeSelector", "priorityClassName"} & pod["spec"].keys(), name
                continue
            found.add(name)
            assert taint in pod["spec"]["tolerations"], name
            assert pod["spec"]["priorityClassName"] == "high", name
            own = {"dormouse/pool": "gpu"} if name == "dm-ollama" and options_of_all is PRODUCTION else {"pool": "a"}
            assert pod["spec"]["nodeSelector"] == own, name
        assert len(found) > 5


def test_a_function_goes_where_its_own_values_send_it(render: Render) -> None:
    options = "functions.defaults.nodeSelector.pool=b,functions.agent.priorityClass=high"
    documents = render(*EXTERNAL, "--set", options)
    agent = named(of_kind(documents, "Service", "serving"), "Service", "dm-agent-fn")["spec"]["template"]["spec"]
    assert agent["nodeSelector"] == {"pool": "b"}
    assert agent["priorityClassName"] == "high"


def test_the_edge_reads_its_files_and_restarts_when_they_change(render: Render, tmp_path: Path) -> None:
    def rendered(limit: int) -> tuple[dict[str, str], dict[str, str | None], dict[str, str]]:
        plans = {"plans": {"team": {"concurrent_runs": {"tenant": limit}}}}
        file = tmp_path / f"{limit}.yaml"
        file.write_text(yaml.safe_dump({"edge": {"config": {"plans": plans}, "podAnnotations": {"a": "b"}}}))
        documents = render(*EXTERNAL, "--values", str(file))
        pod = named(documents, "Deployment", "dm-edge")["spec"]["template"]
        data = named(documents, "ConfigMap", "dm-edge")["data"]
        assert {"name": "config", "configMap": {"name": "dm-edge"}} in pod["spec"]["volumes"]
        assert yaml.safe_load(data["plans.yaml"]) == plans
        return data, variables(pod), pod["metadata"]["annotations"]

    data, environment, annotations = rendered(5)
    assert data.keys() == {"plans.yaml"}
    (tmp_path / "plans.yaml").write_text(data["plans.yaml"])
    assert "team" in load_plans(tmp_path / "plans.yaml")
    assert environment["DORMOUSE_PLANS"] == "/etc/dormouse/config/plans.yaml"
    assert "DORMOUSE_OIDC" not in environment
    assert annotations["a"] == "b"
    every = ",".join(f"edge.config.{name}.a=1" for name in ("plans", "prices", "issuers", "safety"))
    told = variables(named(render(*EXTERNAL, "--set", every), "Deployment", "dm-edge")["spec"]["template"])
    files = {name for name, value in told.items() if (value or "").startswith("/etc/dormouse/config/")}
    assert len(files) == 4
    assert {name.removeprefix("DORMOUSE_").lower() for name in files} <= Settings.model_fields.keys()
    assert annotations["checksum/configuration"] != rendered(6)[2]["checksum/configuration"]
    assert not [d for d in of_kind(render(*EXTERNAL), "ConfigMap") if d["metadata"]["name"] == "dm-edge"]


def test_an_ingress_keeps_streams_open_unless_it_is_told_otherwise(render: Render) -> None:
    def annotations(*options: str) -> dict[str, str]:
        return dict(named(render(*PRODUCTION, *options), "Ingress", "dm-edge")["metadata"]["annotations"])

    prefix = "nginx.ingress.kubernetes.io/"
    assert annotations()[f"{prefix}proxy-buffering"] == "off"
    assert annotations()[f"{prefix}proxy-read-timeout"] == "3600"
    told = annotations("--set-json", f'ingress.annotations={{"{prefix}proxy-read-timeout": "7200", "a/b": "c"}}')
    assert told[f"{prefix}proxy-read-timeout"] == "7200"
    assert told["a/b"] == "c"
    assert told[f"{prefix}proxy-buffering"] == "off"


def test_figures_are_asked_for_at_ports_that_pods_declare_and_images_listen_on(render: Render) -> None:
    documents = render(*PRODUCTION)
    monitors = {d["metadata"]["name"]: d["spec"] for d in of_kind(documents, "PodMonitor")}
    assert monitors.keys() == {"dm-edge", *FUNCTIONS}
    edge = named(documents, "Deployment", "dm-edge")["spec"]["template"]["spec"]["containers"][0]
    (endpoint,) = monitors["dm-edge"]["podMetricsEndpoints"]
    assert {"name": endpoint["port"], "containerPort": 9464} in edge["ports"]
    for name in FUNCTIONS:
        (endpoint,) = monitors[name]["podMetricsEndpoints"]
        assert endpoint["port"] == "user-port"  # as Knative names the one port that its pods declare for a function
        addresses = [r["replacement"] for r in endpoint["relabelings"] if r["targetLabel"] == "__address__"]
        assert addresses == ["$1:9464", "[$1]:9464"]
    for part in ("edge", "agent_fn", "tool_fn", "embed_fn"):
        assert "DORMOUSE_METRICS_LISTEN=0.0.0.0:9464" in (ROOT / part / "Dockerfile").read_text(), part


def test_long_tools_end_before_they_are_killed_and_runs_are_handed_on_in_time(render: Render) -> None:
    def environment(name: str, *options: str) -> dict[str, str | None]:
        service = named(of_kind(render(*EXTERNAL, *options), "Service", "serving"), "Service", name)
        return variables(service["spec"]["template"])

    assert environment("dm-agent-fn")["DORMOUSE_DRAIN_S"] == "25"
    assert environment("dm-tool-fn")["DORMOUSE_DRAIN_S"] == "300"
    assert environment("dm-agent-fn")["DORMOUSE_EXECUTE_BUDGET_S"] == "240"
    short = environment("dm-agent-fn", "--set", "functions.agent.timeoutSeconds=120")
    assert short["DORMOUSE_EXECUTE_BUDGET_S"] == "48"


def test_tags_and_names_are_what_was_meant(helm: str, render: Render, tmp_path: Path) -> None:
    for number, (tag, meant) in enumerate((("20261120", "20261120"), ("0.1.0", "0.1.0"), ('"12e4"', "12e4"))):
        file = tmp_path / f"{number}.yaml"
        file.write_text(f"image: {{tag: {tag}}}")
        edge = named(render(*EXTERNAL, "--values", str(file)), "Deployment", "dm-edge")
        assert edge["spec"]["template"]["spec"]["containers"][0]["image"] == f"dormouse-edge:{meant}"
        assert edge["metadata"]["labels"]["app.kubernetes.io/version"] == meant
    longest = render(*EXTERNAL, "--set", f"nameOverride={'a' * 38},loadtest.enabled=true")
    assert max(len(document["metadata"]["name"]) for document in longest) <= 63
    done = template(helm, *EXTERNAL, "--set", f"nameOverride={'a' * 39}")
    assert "may have 38 characters" in done.stderr


def test_what_terraform_hands_over_renders(render: Render, tmp_path: Path) -> None:
    platform = contract.decode((ROOT / "tests" / "terraform" / "outputs.json").read_bytes())
    file = tmp_path / "values.json"
    file.write_text(json.dumps(helm_values.values(platform)))
    documents = render("--values", str(file), "--set", "image.tag=1")
    environment = variables(named(documents, "Deployment", "dm-edge")["spec"]["template"])
    assert environment["DORMOUSE_TRUSTED_PROXIES"] == ",".join(platform.networks)
    assert environment["DORMOUSE_FILES"] == platform.documents.url
    account = named(documents, "ServiceAccount", "dm-edge")
    assert account["metadata"]["annotations"] == platform.identities["edge"].annotations
    route = named(documents, "HTTPRoute", "dm-edge")["spec"]
    assert route["hostnames"] == [platform.host]
    secrets = {f"{helm_values.POSTGRES}", f"{helm_values.REDIS}", f"{helm_values.TOOLS}"}
    assert secrets <= set(str(documents).replace("'", " ").split())
    assert (CHART / "values.schema.json").is_file()
