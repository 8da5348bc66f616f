"""The ways in which a run, a model or a thread fails here."""

from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import MODEL_AWAY, DormouseError


def invalid_argument(message: str) -> DormouseError:
    """The request does not make sense; `message` says what it lacks."""
    return DormouseError(error_pb2.ERROR_REASON_INVALID_ARGUMENT, message)


def agent_not_found(agent_id: str) -> DormouseError:
    """No agent has this id."""
    return DormouseError(error_pb2.ERROR_REASON_AGENT_NOT_FOUND, f"There is no agent {agent_id!r}.")


def model_not_found(model: str) -> DormouseError:
    """The model server does not hold this model; empty: it holds none that can answer."""
    if not model:
        return DormouseError(
            error_pb2.ERROR_REASON_MODEL_NOT_FOUND, "The model server holds no model that can answer a conversation."
        )
    return DormouseError(error_pb2.ERROR_REASON_MODEL_NOT_FOUND, f"There is no model {model!r}.")


def model_unavailable(message: str = "The model server does not answer.") -> DormouseError:
    """The model server is away, refuses, or broke off."""
    return DormouseError(error_pb2.ERROR_REASON_MODEL_UNAVAILABLE, message)


def model_away() -> DormouseError:
    """Nobody takes a connection where the model server should be."""
    return DormouseError(
        error_pb2.ERROR_REASON_MODEL_UNAVAILABLE,
        "The model server does not accept a connection.",
        details=MODEL_AWAY,
    )


class UnreadableToolCall(DormouseError):  # noqa: N818 - named like the reasons it stands among
    """The model server gave up on an answer because it could not read a tool call in it."""

    def __init__(self) -> None:
        super().__init__(error_pb2.ERROR_REASON_MODEL_UNAVAILABLE, "The model wrote a tool call that nobody can read.")


def model_timeout(message: str) -> DormouseError:
    """The model server kept silent for too long."""
    return DormouseError(error_pb2.ERROR_REASON_MODEL_TIMEOUT, message)


def capability_missing(model: str, ability: str) -> DormouseError:
    """The model cannot do what the request asks of it."""
    return DormouseError(
        error_pb2.ERROR_REASON_MODEL_CAPABILITY_MISSING, f"The model {model!r} does not support {ability}."
    )


def context_length_exceeded(model: str) -> DormouseError:
    """The conversation does not fit."""
    return DormouseError(
        error_pb2.ERROR_REASON_CONTEXT_LENGTH_EXCEEDED,
        f"The conversation is longer than the context of the model {model!r}.",
    )


def thread_not_found() -> DormouseError:
    """Nothing is stored under this thread or checkpoint."""
    return DormouseError(error_pb2.ERROR_REASON_THREAD_NOT_FOUND, "The thread holds no such state.")


def database_unavailable() -> DormouseError:
    """Threads cannot be read or written for now."""
    return DormouseError(
        error_pb2.ERROR_REASON_DATABASE_UNAVAILABLE, "The database that holds the threads does not answer."
    )


def stream_broken() -> DormouseError:
    """An answer was cut off and cannot be gone on with."""
    return DormouseError(
        error_pb2.ERROR_REASON_STREAM_BROKEN, "The answer was cut off and its model cannot go on with it."
    )


def shutting_down() -> DormouseError:
    """This process takes no new runs."""
    return DormouseError(error_pb2.ERROR_REASON_SHUTTING_DOWN, "This instance is shutting down.")


def content_filtered(kind: str) -> DormouseError:
    """A filter does not let go on what the model says."""
    return DormouseError(
        error_pb2.ERROR_REASON_CONTENT_FILTERED,
        f"A filter has stopped the answer: it held {kind.replace('_', ' ')}.",
        retryable=False,
    )
