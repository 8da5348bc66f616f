"""compose.yaml: it fits the images, the settings of the parts, and the chart."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
VALUES: dict[str, Any] = yaml.safe_load((ROOT / "charts" / "dormouse" / "values.yaml").read_text())
OURS = re.compile(r"\$\{REGISTRY:\+\$\{REGISTRY:-\}/\}dormouse-([a-z-]+):\$\{TAG:-local\}")
ONCE = {"volumes", "keys", "migrations"}
FUNCTIONS = {"agent-fn", "tool-fn", "embed-fn"}


def part_of(service: dict[str, Any]) -> str | None:
    found = OURS.fullmatch(service["image"])
    return found[1].replace("-", "_") if found else None


def networks(name: str) -> set[str]:
    return set(SERVICES[name].get("networks", ()))


def mounts(name: str) -> dict[str, str]:
    """What is mounted, to where."""
    return dict(mount.split(":")[:2] for mount in SERVICES[name].get("volumes", ()))


def test_every_image_of_ours_is_one_that_make_images_builds() -> None:
    folders = dict(re.findall(r"\[([a-z_]+)\]=([a-z_]+)", (ROOT / "images" / "build.sh").read_text()))
    parts = {part for service in SERVICES.values() if (part := part_of(service))}
    assert parts == set(folders) - {"loadtest"}  # which a machine starts when it wants load
    for folder in folders.values():
        assert (ROOT / folder / "Dockerfile").is_file()


def test_whatever_is_named_is_there() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", ())) <= set(SERVICES), name
        assert networks(name) <= set(COMPOSE["networks"]), name
        for source in mounts(name):
            assert (ROOT / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"], source
    used = {source for name in SERVICES for source in mounts(name)}
    assert set(COMPOSE["volumes"]) <= used


def test_it_starts_without_any_variable_being_set() -> None:
    for variable in re.findall(r"(?<!\$)\$\{([^{}$]*)", TEXT):
        assert ":-" in variable or ":+" in variable, variable  # or compose warns of it at every command


def test_every_variable_that_is_set_is_read_by_that_part() -> None:
    fields = set(re.findall(r"^    ([a-z_]+): ", (ROOT / "edge/src/edge/settings.py").read_text(), re.MULTILINE))
    seen = 0
    for name, service in SERVICES.items():
        part = part_of(service)
        if part in (None, "model_server"):
            continue
        folders = (part, "libs/runtime")
        text = "\n".join(path.read_text() for folder in folders for path in (ROOT / folder / "src").rglob("*.py"))
        for variable in service.get("environment", ()):
            known = f'"{variable}"' in text
            if part == "edge":
                known = known or variable.removeprefix("DORMOUSE_").lower() in fields
            assert known, f"{name}: {variable}"
            seen += 1
    assert seen > 20


def test_nothing_runs_as_root_or_writes_into_its_image() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if name == "volumes":  # gives new volumes away, and speaks to nobody
            assert service["cap_add"] == ["CHOWN"]
            assert service["network_mode"] == "none"
            continue
        assert "cap_add" not in service, name
        assert int(service["user"].partition(":")[0]) > 0, name


def test_what_stays_is_watched_and_what_runs_once_is_waited_for() -> None:
    waited = {
        name: needed["condition"]
        for service in SERVICES.values()
        for name, needed in service.get("depends_on", {}).items()
        if name in ONCE
    }
    assert waited == dict.fromkeys(ONCE, "service_completed_successfully")
    for name, service in SERVICES.items():
        assert (service["restart"] == "no") == (name in ONCE), name
        assert ("healthcheck" in service) == (name not in ONCE), name
        for word in service.get("healthcheck", {}).get("test", ()):
            if word.startswith("import "):
                compile(word, name, "exec")


def test_one_profile_says_who_answers_as_the_model() -> None:
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {"ollama": ["cpu"], "ollama-gpu": ["gpu"], "model-server": ["model-server"]}
    for name in profiles:
        assert SERVICES[name]["networks"]["models"] == {"aliases": ["models"]}
    for name in ("agent-fn", "embed-fn"):
        assert SERVICES[name]["environment"]["OLLAMA_HOST"] == "http://models:11434"
    (device,) = SERVICES["ollama-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


def test_no_volume_without_a_name_is_left_behind() -> None:
    # Those that the images make a volume of: https://hub.docker.com/r/valkey/valkey, https://hub.docker.com/_/postgres
    assert "/data" in SERVICES["valkey"]["tmpfs"]
    assert "/var/lib/postgresql" in mounts("postgres").values()


def test_secrets_are_where_they_are_needed_and_nowhere_else() -> None:
    holders = {
        volume: {name for name in SERVICES if volume in mounts(name)} - {"volumes", "keys"}
        for volume in ("edge-keys", "function-keys", "owner-keys")
    }
    assert holders == {
        "edge-keys": {"edge", "migrations"},
        "function-keys": {"edge", *FUNCTIONS},
        "owner-keys": {"postgres", "migrations"},
    }
    for name, service in SERVICES.items():
        for mount in service.get("volumes", ()):
            if "-keys:" in mount and name not in ("volumes", "keys"):
                assert mount.endswith(":ro"), f"{name}: {mount}"
        for variable, value in service.get("environment", {}).items():
            assert not re.search(r"://[^/@]*:[^/@]*@", str(value)), f"{name}: {variable}"


def test_who_need_not_call_each_other_share_no_network() -> None:
    assert networks("valkey") == {"cache"}
    assert {name for name in SERVICES if "cache" in networks(name)} == {"edge", "valkey"}
    assert {name for name in SERVICES if "front" in networks(name)} == {"edge"}
    assert {name for name in SERVICES if "ports" in SERVICES[name]} == {"edge"}
    assert not networks("tool-fn") & networks("ollama") - {"internet"}
    assert not networks("edge") & networks("model-server")
    for name in ("data", "cache", "calls", "models"):
        assert COMPOSE["networks"][name] == {"internal": True}


def test_it_sets_what_the_chart_sets() -> None:
    def default(image: str) -> str:
        found = re.fullmatch(r"\$\{[A-Z]+_IMAGE:-(.+)\}", image)
        assert found
        return found[1]

    assert default(SERVICES["postgres"]["image"]) == VALUES["postgres"]["trial"]["image"]
    assert default(SERVICES["valkey"]["image"]) == VALUES["redis"]["trial"]["image"]
    assert default(SERVICES["ollama"]["image"]) == VALUES["ollama"]["image"]
    of_ollama = SERVICES["ollama"]["environment"]
    assert of_ollama["OLLAMA_NUM_PARALLEL"] == str(VALUES["ollama"]["parallel"])
    assert of_ollama["OLLAMA_CONTEXT_LENGTH"] == str(VALUES["ollama"]["contextLength"])
    assert of_ollama["OLLAMA_KEEP_ALIVE"] == VALUES["ollama"]["keepAlive"]
    assert of_ollama["MODELS"] == f"${{MODELS:-{' '.join(VALUES['ollama']['models'])}}}"
    assert SERVICES["ollama-gpu"]["environment"] == of_ollama
    assert SERVICES["edge"]["environment"]["DORMOUSE_DRAIN_S"] == str(VALUES["edge"]["drainSeconds"])
    assert SERVICES["migrations"]["environment"]["DORMOUSE_APP_ROLE"] == VALUES["postgres"]["applicationRole"]


def test_keys_are_made_once_and_what_is_missing_is_added(tmp_path: Path) -> None:
    def make() -> dict[str, bytes]:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        script = ROOT / "images" / "compose" / "keys.sh"
        done = subprocess.run(["sh", script, tmp_path], env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.glob("*/*")}

    for folder in ("edge", "functions", "owner"):
        (tmp_path / folder).mkdir()
    made = make()
    assert set(made) == {
        *("edge/service-key.json", "edge/pepper", "edge/api-key"),
        *("functions/trusted-keys.json", "functions/application.pgpass"),
        *("owner/superuser", "owner/owner", "owner/application", "owner/owner.pgpass"),
    }
    assert all(made.values())
    for name in made:
        mode = stat.S_IMODE((tmp_path / name).stat().st_mode)
        # libpq ignores a file of passwords that others may read.
        assert not mode & 0o077 or name in ("owner/superuser", "owner/owner", "owner/application"), name
    (tmp_path / "edge" / "pepper").unlink()
    again = make()
    assert again.pop("edge/pepper") != made.pop("edge/pepper")
    assert again == made
