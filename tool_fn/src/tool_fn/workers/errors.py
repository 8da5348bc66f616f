"""How a call into a worker fails. Each is a ToolError, so a tool may let it pass as it is."""

from tool_fn.tool import ToolError


class TimeLimitError(ToolError):
    """The worker was still at it when its time was over. It has been ended."""


class WorkerLostError(ToolError):
    """The worker ended, or answered nonsense, in the middle of the call."""


class WorkerUnavailableError(ToolError):
    """No worker could be started, or the function is shutting down."""
