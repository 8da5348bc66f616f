"""Confined child processes that stay warm: heavy libraries and code of strangers run there, never in the function."""

from tool_fn.workers.errors import TimeLimitError, WorkerLostError, WorkerUnavailableError
from tool_fn.workers.kind import WorkerKind
from tool_fn.workers.pool import Workers

__all__ = ["TimeLimitError", "WorkerKind", "WorkerLostError", "WorkerUnavailableError", "Workers"]
