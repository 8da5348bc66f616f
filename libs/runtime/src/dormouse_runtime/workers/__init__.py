"""Confined child processes that stay warm: heavy libraries and code of strangers run there, never in the function."""

from dormouse_runtime.workers.errors import (
    RefusalError,
    TimeLimitError,
    WorkerError,
    WorkerFailedError,
    WorkerLostError,
    WorkerUnavailableError,
)
from dormouse_runtime.workers.kind import WorkerKind
from dormouse_runtime.workers.pool import Workers

__all__ = [
    "RefusalError",
    "TimeLimitError",
    "WorkerError",
    "WorkerFailedError",
    "WorkerKind",
    "WorkerLostError",
    "WorkerUnavailableError",
    "Workers",
]
