"""How `make test` spreads the tests over processes: a file at a time, what takes longest first.

A file's tests share processes of the platform, so they stay together; so do folders that make one thing for all of
their files. A test that is marked `alone` runs while no other does: it measures what others would disturb.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

TOGETHER = (
    "tests/charts/",
    "tests/clients/",
    "tests/contract/agent_fn/",
    "tests/contract/embed_fn/",
    "tests/contract/tool_fn/",
    "tests/e2e/",
    "tests/integration/files/",
    "tests/terraform/",
)
"""Folders whose files share what takes long to make: processes of their own, Helm, an account with an environment."""
FIRST = (
    "tests/imports/test_embed_fn_start.py",
    "tests/imports/test_tool_fn_start.py",
    "tests/integration/test_up_down.py",
    "tests/terraform/",
    "tests/contract/test_openapi_fuzz.py",
)
"""First what wants the machine for itself, while nobody has to be waited for; then what takes longest. The others
follow by name, which puts the many short ones of tests/unit last: they fill what the long ones leave."""
TURNS = "dormouse_turns"


class Turns:
    """Lets tests of all processes run side by side, or one alone: who wants to be alone holds up who comes later.

    The locks are of files: the system frees them when a process dies.
    """

    def __init__(self, folder: Path) -> None:
        self._gate = (folder / "gate").open("w")
        self._running = (folder / "running").open("w")

    def begin(self, *, alone: bool) -> None:
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        fcntl.flock(self._running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        if not alone:
            fcntl.flock(self._gate, fcntl.LOCK_UN)

    def end(self) -> None:
        fcntl.flock(self._running, fcntl.LOCK_UN)
        fcntl.flock(self._gate, fcntl.LOCK_UN)

    def close(self) -> None:
        self._gate.close()
        self._running.close()


class FilesInOrder(LoadScopeScheduling):  # type: ignore[misc]
    """Hands files out, and some folders as a whole, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((folder for folder in TOGETHER if file.startswith(folder)), file)


class Spreading:
    """The plugin: one in the process that hands the tests out, and one in each that runs them."""

    def __init__(self, config: pytest.Config) -> None:
        given = getattr(config, "workerinput", {}).get(TURNS)
        self._made = None if given else Path(tempfile.mkdtemp(prefix=f"dormouse-test-{os.getpid()}-"))
        self._turns = Turns(Path(given) if given else self._folder)

    @property
    def _folder(self) -> Path:
        assert self._made is not None
        return self._made

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        node.workerinput[TURNS] = str(self._folder)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> FilesInOrder:
        return FilesInOrder(config, log)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(
            key=lambda item: next((n for n, folder in enumerate(FIRST) if item.nodeid.startswith(folder)), len(FIRST))
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self._turns.begin(alone=item.get_closest_marker("alone") is not None)
        try:
            return (yield)
        finally:
            self._turns.end()

    def pytest_unconfigure(self) -> None:
        self._turns.close()
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)
