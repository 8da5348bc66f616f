"""How a call into a worker fails. The text of each is a sentence that may be shown to whoever asked."""


class WorkerError(Exception):
    """The call has no answer."""


class RefusalError(WorkerError):
    """The module's own answer that it cannot do this; `handle` raises it."""


class WorkerFailedError(WorkerError):
    """The module has a defect, which the log shows."""


class TimeLimitError(WorkerError):
    """The worker was still at it when its time was over. It has been ended."""


class WorkerLostError(WorkerError):
    """The worker ended, or answered nonsense, in the middle of the call."""


class WorkerUnavailableError(WorkerError):
    """No worker could be started, or the function is shutting down."""
