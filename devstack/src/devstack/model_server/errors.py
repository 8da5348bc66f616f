"""Errors as Ollama reports them: a status and {"error": …}."""

from __future__ import annotations


class ModelServerError(Exception):
    """A request that cannot be served. The message goes to the client."""

    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequestError(ModelServerError):
    """The request makes no sense."""

    status = 400


class ModelNotFoundError(ModelServerError):
    """There is no such model."""

    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"model '{name}' not found")


class NotImplementedHereError(ModelServerError):
    """Ollama could do this, a development server can't."""

    status = 501


class ServerBusyError(ModelServerError):
    """The queue is full."""

    status = 503

    def __init__(self) -> None:
        super().__init__("server busy, please try again.  maximum pending requests exceeded")


class RunnerError(ModelServerError):
    """The model runner fails."""

    status = 500
