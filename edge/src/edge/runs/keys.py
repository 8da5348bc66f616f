"""Names of everything the run engine keeps in Redis.

A run's keys share a hash tag, so that a cluster keeps them on one node.
"""

REPLICAS = "dm:replicas"
"""Hash: replica id → a counter that the replica raises while it lives."""

THREADS_CHANNEL = "dm:threads"
"""Channel: the id of a thread whose run has ended."""


def log(run_id: str) -> str:
    """Stream: the run's log. Entry ids are `<epoch>-<seq of the entry's last event>`."""
    return f"dm:run:{{{run_id}}}:log"


def meta(run_id: str) -> str:
    """Hash: who owns the run, and what another replica needs to take it over."""
    return f"dm:run:{{{run_id}}}"


def runs_of(replica_id: str) -> str:
    """Set: ids of the runs that a replica owns."""
    return f"dm:replica:{replica_id}:runs"


def control_channel(replica_id: str) -> str:
    """Channel: orders to a replica about the runs it owns."""
    return f"dm:replica:{replica_id}:control"
