"""An installation of the chart on the cluster that KUBECONFIG points to: `make e2e`.

Everything is made in namespaces of its own and removed again. Requests come from a pod inside of the cluster, so that
nothing but the platform itself is between it and its client. What is measured is printed at the end and written to
`.dormouse/e2e.json`.
"""

import json
import os
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster.installation import Client, Installation, kubectl

# Part of `make e2e` only: without a cluster there is nothing to test.
collect_ignore_glob = [] if os.environ.get("DORMOUSE_E2E") else ["test_*.py"]

Record = Callable[[str, float], None]
_figures: dict[str, list[float]] = {}


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    """The chart, installed and ready."""
    if not os.environ.get("DORMOUSE_E2E_TAG"):
        pytest.exit("make e2e TAG=…: the tag of images that the cluster can fetch (REGISTRY=… their prefix)", 2)
    kubectl("get", "crd", "services.serving.knative.dev")  # fails where there is no Knative
    installation = Installation.make()
    try:
        installation.install()
        yield installation
    finally:
        if not os.environ.get("DORMOUSE_E2E_KEEP"):
            installation.remove()


@pytest.fixture(scope="session")
def client(installation: Installation) -> Iterator[Client]:
    """A pod that calls the edge."""
    with installation.client() as client:
        yield client


@pytest.fixture
def record() -> Record:
    """Keeps a figure for the report; of several under one name the median counts."""
    return lambda name, value: _figures.setdefault(name, []).append(value)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The report."""
    if not _figures:
        return
    medians = {name: round(statistics.median(values), 3) for name, values in _figures.items()}
    terminalreporter.section("measured on this cluster")
    for name, median in medians.items():
        values = ", ".join(f"{value:.2f}" for value in _figures[name])
        terminalreporter.write_line(f"{name:<58} {median:8.2f}   ({values})")
    report = Path(".dormouse/e2e.json")
    report.parent.mkdir(exist_ok=True)
    report.write_text(json.dumps({"medians": medians, "all": _figures}, indent=2) + "\n")
