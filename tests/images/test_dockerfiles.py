"""The Dockerfiles, as they are written: what each image is made of, and in which order."""

import re
import stat
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS: dict[str, str] = dict(re.findall(r"\[([a-z_]+)\]=([a-z_]+)", (ROOT / "images" / "build.sh").read_text()))
SANDBOX = "--from=sandbox /src/tool_fn/sandbox/component /opt/code/tool_fn/sandbox/component"
BASE = "docker.io/library/python:3.11-slim-bookworm"


def instructions(part: str) -> list[tuple[str, str]]:
    """Every instruction with its arguments, continued lines joined, comments left out."""
    text = (ROOT / PARTS[part] / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines]


def stages(part: str) -> list[list[tuple[str, str]]]:
    """The instructions of each stage; before the first there is only what all have."""
    found: list[list[tuple[str, str]]] = [[]]
    for name, arguments in instructions(part):
        if name == "FROM":
            found.append([])
        found[-1].append((name, arguments))
    return found


def within(source: str) -> list[Path]:
    """The path and the folders that it is in."""
    return [Path(source), *Path(source).parents]


def test_every_dockerfile_is_one_that_make_images_builds() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/Dockerfile")}
    assert folders == set(PARTS.values())
    assert {"edge", "agent_fn", "tool_fn", "embed_fn", "migrations", "model_server"} <= set(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_the_base_is_an_argument_and_the_same_for_all(part: str) -> None:
    assert instructions(part)[0] == ("ARG", f"BASE={BASE}")
    starts = [arguments for name, arguments in instructions(part) if name == "FROM"]
    assert starts[0] == "${BASE} AS build"
    assert starts[-1] == "${BASE}"
    assert set(starts[1:-1]) <= {"build AS sandbox", "build AS code"}


@pytest.mark.parametrize("part", PARTS)
def test_only_its_own_lock_is_installed_with_hashes_and_from_wheels(part: str) -> None:
    text = (ROOT / PARTS[part] / "Dockerfile").read_text()
    locks = set(re.findall(r"requirements/([a-z_]+)\.txt", text)) - {"build", "sandbox"}
    assert locks == {part}
    assert set(re.findall(r"install\.sh dependencies ([a-z_]+)", text)) - {"sandbox"} == {part}
    # The sandbox's compiler is in a stage that nothing but the sandbox is taken from.
    if "sandbox.txt" in text:
        assert [arguments for name, arguments in stages(part)[-1] if "--from=sandbox" in arguments] == [SANDBOX]
    steps = (ROOT / "images" / "install.sh").read_text()
    assert steps.count("pip install") == 3
    assert steps.count("--require-hashes") == 2  # the third installs our own code, without dependencies
    assert steps.count("--only-binary :all:") == 2
    assert steps.count("--no-deps") == 1


@pytest.mark.parametrize("part", PARTS)
def test_the_code_is_the_last_layer(part: str) -> None:
    last = stages(part)[-1]
    layers = [(name, arguments) for name, arguments in last if name in ("RUN", "COPY", "ADD")]
    assert layers[-1][1] in ("--from=build /opt/code /opt/code", "--from=code /opt/code /opt/code")
    dependencies = layers.index(("COPY", "--from=build /opt/venv /opt/venv"))
    assert [arguments for _, arguments in layers[dependencies + 1 : -1]] == ([SANDBOX] if part == "tool_fn" else [])
    # What changes with every build stands behind it, or every layer would be made anew.
    names = [f"{name} {arguments}" for name, arguments in last]
    code = next(i for i, line in enumerate(names) if line.endswith("/opt/code /opt/code"))
    changing = next(i for i, line in enumerate(names) if line.startswith("ARG VERSION"))
    assert code < changing
    # And in the stages before it dependencies are installed before any code is there.
    for stage in stages(part)[1:-1]:
        steps = [arguments for _, arguments in stage]
        installed = [i for i, line in enumerate(steps) if "install.sh dependencies" in line]
        copied = [i for i, line in enumerate(steps) if "/src/" in line]
        assert max(installed, default=-1) < min(copied, default=len(steps))


def test_the_sandbox_is_made_of_its_own_files_and_outlasts_a_change_of_other_code() -> None:
    stage = next(stage for stage in stages("tool_fn") if ("FROM", "build AS sandbox") in stage)
    sources = [source for name, arguments in stage if name == "COPY" for source in arguments.split()[:-1]]
    assert sources[0] == "requirements/sandbox.txt"
    package = "tool_fn/src/tool_fn"
    made_of = {source.removeprefix(f"{package}/sandbox/") for source in sources[1:]} - {f"{package}/__init__.py"}
    assert made_of == {"__init__.py", "build.py", "component.py", "engine.py", "guest"}


@pytest.mark.parametrize("part", PARTS)
def test_it_runs_as_a_user_by_number_with_something_that_passes_signals_on(part: str) -> None:
    last = stages(part)[-1]
    assert [arguments for name, arguments in last if name == "USER"] == ["65532:65532"]
    (entry,) = [arguments for name, arguments in last if name == "ENTRYPOINT"]
    assert entry.startswith('["dumb-init", "--", "python", "-P", "-m", "')
    module = entry.rsplit('"', 2)[1]
    assert module.split(".")[0] == PARTS[part]
    # Nothing is done as root behind that line.
    behind = last[[name for name, _ in last].index("USER") :]
    assert not [arguments for name, arguments in behind if name == "RUN"]


@pytest.mark.parametrize("part", PARTS)
def test_labels_say_what_it_is(part: str) -> None:
    labels = dict(
        re.findall(
            r'org\.opencontainers\.image\.([a-z]+)="([^"]*)"',
            next(arguments for name, arguments in stages(part)[-1] if name == "LABEL"),
        )
    )
    assert labels.pop("description")
    assert labels == {
        "title": f"dormouse-{part.replace('_', '-')}",
        "licenses": "Apache-2.0",
        "version": "${VERSION}",
        "revision": "${REVISION}",
    }


@pytest.mark.parametrize("part", PARTS)
def test_no_secret_and_no_mirror_gets_into_it(part: str) -> None:
    for name, arguments in instructions(part):
        if name in ("ARG", "ENV"):
            names = re.findall(r"([A-Za-z_]+)=", arguments)
            assert not [n for n in names if re.search(r"(?i)index|proxy|mirror|token|passw|secret|cert", n)], arguments
            assert "://" not in arguments
        if "install.sh" in arguments and ("tools" in arguments or "dependencies" in arguments):
            # What downloads may trust a bundle that no layer keeps.
            assert name == "RUN"
            assert arguments.startswith("--mount=type=secret,id=ca ")
    assert not re.search(r"index-url|trusted-host|extra-index", (ROOT / "images" / "install.sh").read_text())


@pytest.mark.parametrize("part", PARTS)
def test_what_is_copied_is_there_and_sent_to_the_engine(part: str) -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name, arguments in instructions(part):
        if name != "COPY" or arguments.startswith("--from="):
            continue
        for source in arguments.split()[:-1]:
            path = ROOT / source
            assert path.exists(), source
            assert any(place.match(pattern) for pattern in sent for place in within(source)), source
            assert not path.is_file() or path.suffix != ".sh" or path.stat().st_mode & stat.S_IXUSR, source


def test_nothing_is_sent_to_the_engine_that_nobody_copies() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[0] == "**"
    copied = {
        source
        for part in PARTS
        for name, arguments in instructions(part)
        if name == "COPY" and not arguments.startswith("--from=")
        for source in arguments.split()[:-1]
    }
    for pattern in (line[1:] for line in lines if line.startswith("!")):
        assert any(place.match(pattern) for source in copied for place in within(source)), pattern
