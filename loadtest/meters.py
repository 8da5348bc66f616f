"""Reads what processes use: CPU seconds and resident memory."""

from __future__ import annotations

import time
from collections.abc import Mapping

import psutil


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process and all of its threads, to the nanosecond; 0 when it is gone.

    Linux' clock id of another process (clock_getcpuclockid(3)); /proc/<pid>/stat counts in ticks of 10 ms, too coarse
    for one stream.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(psutil.Process(pid).memory_info().rss)


class CpuMeter:
    """CPU seconds of named processes, and of everything else on the machine, since it was made."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._start = {name: cpu_seconds(pid) for name, pid in pids.items()}
        self._machine = _busy_seconds()

    def read(self) -> dict[str, float]:
        """Seconds by name."""
        return {name: cpu_seconds(pid) - self._start[name] for name, pid in self._pids.items()}

    def read_others(self) -> float:
        """Seconds of all other processes; to some ticks of 10 ms."""
        return max(0.0, _busy_seconds() - self._machine - sum(self.read().values()))


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))
