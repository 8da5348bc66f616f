"""`status`: what runs, where, since when."""

import json
import time
from typing import Any

import psutil

from devstack.home import Home, ProcessRecord


def status(home: Home, *, as_json: bool) -> int:
    """Print a table, or one JSON object: state, url, and per process name, pid, status, address, age, memory."""
    state = home.load()
    phase = state.phase if home.is_locked() else "stopped"
    processes = [_describe(entry) for entry in state.processes]
    if as_json:
        print(json.dumps({"state": phase, "url": state.url if phase == "ready" else "", "processes": processes}))
        return 0
    if phase == "stopped":
        print("Dormouse is not running here. Start it with: make up")
        return 0
    print(f"Dormouse is {'running' if phase == 'ready' else phase}{f' at {state.url}' if state.url else ''}\n")
    print(f"{'process':<14}{'state':<10}{'pid':>8}{'age':>10}{'memory':>10}{'restarts':>10}  address")
    for entry in processes:
        memory = f"{entry['memory_bytes'] / 1e6:.0f} MB"
        print(
            f"{entry['name']:<14}{entry['status']:<10}{entry['pid']:>8}{_age(entry['age_s']):>10}{memory:>10}"
            f"{entry['restarts']:>10}  {entry['address']}"
        )
    return 0


def _describe(entry: ProcessRecord) -> dict[str, Any]:
    process = entry.find()
    memory = 0
    if process is not None:
        try:
            memory = sum(part.memory_info().rss for part in (process, *process.children(recursive=True)))
        except psutil.NoSuchProcess:
            process = None
    return {
        "name": entry.name,
        "status": "running" if process is not None else "dead",
        "pid": entry.pid,
        "age_s": round(time.time() - entry.created, 1) if process is not None else 0.0,
        "memory_bytes": memory,
        "restarts": entry.restarts,
        "address": entry.address,
        "metrics_address": entry.metrics_address,
    }


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
