"""The folder that holds everything of one platform, and what is recorded there about the one that runs."""

import fcntl
import json
import os
import shlex
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from devstack.errors import DevstackError
from devstack.private_files import write_private


@dataclass(slots=True)
class ProcessRecord:
    """One process as `status` shows it. `created` tells it from a later process with the same pid."""

    name: str
    pid: int
    created: float
    address: str = ""
    metrics_address: str = ""
    restarts: int = 0

    def find(self) -> psutil.Process | None:
        """The process, if it still runs."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < 2
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


@dataclass(slots=True)
class State:
    """What `.dormouse/state.json` holds. `ports` outlives the run, so that a home keeps its ports."""

    phase: str = "stopped"
    """stopped, starting, ready, stopping, failed"""
    url: str = ""
    error: str = ""
    detached: bool = False
    model_server: str = ""
    supervisor: ProcessRecord | None = None
    processes: list[ProcessRecord] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)
    schema: dict[str, str] = field(default_factory=dict)
    """The migrations that ran last, by their digest, and the revision that they led to."""


class Home:
    """The folders and files of one platform."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.secrets = root / "secrets"
        self.logs = root / "logs"
        self.postgres = root / "postgres"
        self.valkey = root / "valkey"
        self.files = root / "files"
        self.env = root / "env"
        self.admin_env = root / "admin-env"
        self._state = root / "state.json"
        self._lock = root / "lock"
        self._locked: int | None = None

    def make(self) -> None:
        """Make the folders; DevstackError where that is not allowed."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.logs.mkdir(exist_ok=True)
            if os.geteuid() == self.root.stat().st_uid:
                self.root.chmod(0o755)  # the account that Postgres runs as passes through
                self.logs.chmod(0o700)
        except OSError as error:
            raise DevstackError(
                f"cannot make {self.root}: {error.strerror}; DORMOUSE_HOME names another folder"
            ) from error
        for folder in (self.root, self.logs):
            if not os.access(folder, os.W_OK):
                raise DevstackError(
                    f"{folder} belongs to user {folder.stat().st_uid} and cannot be written: go on as that user,"
                    " or name another folder with DORMOUSE_HOME"
                )

    def lock(self) -> bool:
        """Become the one supervisor of this home until the process ends. False: there is one."""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._locked = descriptor
        return True

    def is_locked(self) -> bool:
        """Whether a supervisor runs."""
        try:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def load(self) -> State:
        """The recorded state; a fresh one where there is none or it cannot be read."""
        try:
            values: dict[str, Any] = json.loads(self._state.read_text())
            supervisor = values.pop("supervisor", None)
            processes = [ProcessRecord(**record) for record in values.pop("processes", [])]
            return State(**values, supervisor=ProcessRecord(**supervisor) if supervisor else None, processes=processes)
        except (FileNotFoundError, ValueError, TypeError):
            return State()

    def save(self, state: State) -> None:
        write_private(self._state, json.dumps(asdict(state), indent=2))

    def write_env(self, url: str, api_key: str) -> None:
        """`.dormouse/env`: shell lines for whoever wants to talk to the platform."""
        write_private(self.env, f"DORMOUSE_URL={shlex.quote(url)}\nDORMOUSE_API_KEY={shlex.quote(api_key)}\n")

    def write_admin_env(self, values: Mapping[str, str]) -> None:
        """`.dormouse/admin-env`: shell lines for `dormouse admin`, which reaches everything."""
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in values.items())
        write_private(self.admin_env, "".join(lines))


def record(name: str, pid: int, **values: Any) -> ProcessRecord:
    """A record of a process that runs now."""
    try:
        created = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        created = time.time()
    return ProcessRecord(name, pid, created, **values)
