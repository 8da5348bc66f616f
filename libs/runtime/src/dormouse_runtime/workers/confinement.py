"""Takes from this process, for good, what no tool needs: files, sockets, other processes, and resources without end."""

import ctypes
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dormouse_runtime.workers import landlock, seccomp

_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_DESCRIPTORS: Final = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """memory_bytes: private memory in all. cpu_s: seconds of processor time in the process's whole life.
    reserves_address_space: do not limit addresses, only memory."""

    memory_bytes: int
    cpu_s: int
    reserves_address_space: bool = False


def confine(limits: Limits) -> list[str]:
    """Applies everything that this system offers, and returns the names of what it does not.

    Pipes that are open stay usable. Nothing of it can be undone.
    """
    missing = []
    if sys.platform == "linux":
        _prefer_for_the_oom_killer()
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            missing.append("no_new_privs")
    missing += _limit_resources(limits)
    if not landlock.deny_everything():
        missing.append("landlock")
    if not seccomp.install():
        missing.append("seccomp")
        if sys.platform != "linux":  # there the limit would count threads, too
            missing += _limit("RLIMIT_NPROC", 0)
    return missing


def _limit_resources(limits: Limits) -> list[str]:
    missing = _limit("RLIMIT_CORE", 0)
    missing += _limit("RLIMIT_FSIZE", 0)
    missing += _limit("RLIMIT_MEMLOCK", 0)
    missing += _limit("RLIMIT_NOFILE", _DESCRIPTORS)
    missing += _limit("RLIMIT_CPU", limits.cpu_s)
    missing += _limit("RLIMIT_DATA", limits.memory_bytes)
    if sys.platform == "linux" and not limits.reserves_address_space:
        missing += _limit("RLIMIT_AS", _addresses_in_use() + limits.memory_bytes)
    return missing


def _limit(name: str, value: int) -> list[str]:
    number = getattr(resource, name, None)
    if number is None:
        return [name]
    try:
        hard = resource.getrlimit(number)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (value, value))
    except (OSError, ValueError):  # macOS knows limits that it does not let anybody set
        return [name]
    return []


def _addresses_in_use() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")


def _prefer_for_the_oom_killer() -> None:
    """When memory runs out, the kernel shall end this process and not the function."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:  # a container without a writable /proc: the limits have to do
        return
