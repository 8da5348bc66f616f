"""The platform on a cluster: asleep, awake, harmed, renewed and removed. The tests run in this order."""

import json
import time
from pathlib import Path

from tests.e2e.cluster.conftest import Record
from tests.e2e.cluster.installation import Client, Installation, kubectl, wait_until

LONG = "Tell me a long story about a dormouse, at least three hundred words."
QUESTION = "Who are you?"
WAKE_UPS = 3
BARE = "bare-grpc"


def test_an_installation_answers(client: Client, record: Record) -> None:
    answer = client.call("chat", model="chat", text=QUESTION)
    assert answer["done"], answer
    assert "development model" in answer["text"]
    record("first token, awake (s)", client.call("chat", model="chat", text=QUESTION)["token"])


def test_functions_fall_asleep_within_90_s_of_the_last_call(
    installation: Installation, client: Client, record: Record
) -> None:
    assert client.call("chat", model="react", text="What is 17*23?")["done"]
    seconds = installation.fall_asleep()
    record("from the last call to no pods (s)", seconds)
    assert seconds <= 90


def test_a_chat_wakes_what_it_needs(installation: Installation, client: Client, record: Record) -> None:
    for _ in range(WAKE_UPS):
        installation.fall_asleep()
        answer = client.call("chat", model="chat", text=QUESTION)
        assert answer["done"], answer
        assert any("waking" in comment for comment in answer["comments"]), answer["comments"]
        record("first byte from zero pods (s)", answer["first_byte"])
        record("first token from zero pods, chat (s)", answer["token"])
        assert "dm-tool-fn" not in installation.awake()


def test_an_agent_with_tools_wakes_both_functions_at_once(
    installation: Installation, client: Client, record: Record
) -> None:
    for _ in range(WAKE_UPS):
        installation.fall_asleep()
        answer = client.call("chat", model="react", text="What is 17*23?")
        assert "391" in answer["text"], answer
        record("first token after a tool from zero pods (s)", answer["token"])
        record("whole answer with a tool from zero pods (s)", answer["seconds"])
        again = client.call("chat", model="react", text="What is 17*23?")
        record("first token after a tool, awake (s)", again["token"])
        record("whole answer with a tool, awake (s)", again["seconds"])


def test_a_wake_up_is_compared_with_that_of_a_bare_function(
    installation: Installation, client: Client, record: Record
) -> None:
    program = Path(__file__).with_name("bare_grpc.py").read_text()
    container = {
        "image": installation.image,
        "command": ["dumb-init", "--", "python", "-c", program],  # else nothing ends it: it would be process 1
        "ports": [{"name": "h2c", "containerPort": 8080}],
        "readinessProbe": {"grpc": {"port": 8080}, "periodSeconds": 1},
        "imagePullPolicy": "IfNotPresent",
    }
    template = {
        "metadata": {"annotations": {"autoscaling.knative.dev/window": "10s"}},
        "spec": {"containers": [container]},
    }
    service = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": BARE, "labels": {"networking.knative.dev/visibility": "cluster-local"}},
        "spec": {"template": template},
    }
    client.kubectl("apply", "--filename", "-", stdin=json.dumps(service))
    client.kubectl("wait", f"ksvc/{BARE}", "--for=condition=Ready", "--timeout=110s")
    target = f"{BARE}.{client.namespace}.svc.cluster.local:80"
    pods = ("get", "pods", "--output=name", "--selector", f"serving.knative.dev/service={BARE}")
    for _ in range(WAKE_UPS):
        wait_until("the bare function is at zero", lambda: not client.kubectl(*pods), 240)
        answer = client.call("health", target=target, timeout_s=60)
        record("wake-up of a bare Python gRPC function (s)", answer["seconds"])


def test_an_answer_survives_the_death_of_its_function(installation: Installation, client: Client) -> None:
    expected = client.call("chat", model="chat", text=LONG)
    assert expected["done"]
    with client.begin("chat", model="chat", text=LONG) as process:
        assert process.stdout is not None
        assert "first" in process.stdout.readline()
        time.sleep(0.5)
        for pod in installation.pods("agent-fn"):
            installation.kubectl(
                "delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force", "--wait=false"
            )
        output, errors = process.communicate(timeout=300)
    answer = json.loads(output.strip().splitlines()[-1])
    assert answer["done"], (answer, errors)
    assert answer["text"] == expected["text"]


def test_a_rolling_update_loses_no_answer(installation: Installation, client: Client) -> None:
    with client.begin("load", seconds=60, streams=4, text=QUESTION) as process:
        time.sleep(3)
        installation.kubectl("rollout", "restart", "deployment/dm-edge")
        installation.kubectl("rollout", "status", "deployment/dm-edge", "--timeout=180s", timeout_s=190)
        output, errors = process.communicate(timeout=300)
    result = json.loads(output.strip().splitlines()[-1])
    assert result["failed"] == [], errors
    assert result["answers"] >= 4
    assert len(result["texts"]) == 1


def test_a_new_revision_of_a_function_loses_no_answer(installation: Installation, client: Client) -> None:
    with client.begin("load", seconds=60, streams=4, text=QUESTION) as process:
        time.sleep(3)
        installation.upgrade("--set", "functions.agent.env.DORMOUSE_LOG_LEVEL=warning")
        output, errors = process.communicate(timeout=300)
    result = json.loads(output.strip().splitlines()[-1])
    assert result["failed"] == [], errors
    assert len(result["texts"]) == 1


def test_a_rollback_loses_no_answer_and_no_key(installation: Installation, client: Client) -> None:
    def variables() -> set[str]:
        (container,) = installation.get("ksvc", "dm-agent-fn")["spec"]["template"]["spec"]["containers"]
        return {variable["name"] for variable in container["env"]}

    key = installation.api_key
    installation.upgrade("--set", "functions.agent.env.DORMOUSE_LOG_FORMAT=text")
    assert "DORMOUSE_LOG_FORMAT" in variables()
    with client.begin("load", seconds=40, streams=4, text=QUESTION) as process:
        time.sleep(3)
        installation.rollback()
        output, errors = process.communicate(timeout=300)
    result = json.loads(output.strip().splitlines()[-1])
    assert result["failed"] == [], errors
    assert "DORMOUSE_LOG_FORMAT" not in variables()
    assert installation.api_key == key


def test_a_stranger_is_refused_by_the_function(client: Client, installation: Installation) -> None:
    target = f"dm-agent-fn.{installation.namespace}.svc.cluster.local:80"
    assert client.call("grpc_call", target=target, timeout_s=60) == {"code": "UNAUTHENTICATED"}


def test_an_uninstallation_leaves_nothing(installation: Installation) -> None:
    installation.uninstall()

    def left() -> list[str]:
        kinds = kubectl("api-resources", "--verbs=list", "--namespaced", "--output=name").split()
        ignored = {"events", "events.events.k8s.io", "endpoints"}
        listed = installation.kubectl(
            "get", ",".join(kind for kind in kinds if kind not in ignored), "--output=name", "--ignore-not-found"
        )
        kept = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
        return [name for name in listed.split() if name not in kept]

    wait_until("nothing is left", lambda: not left(), 120, every_s=3)
