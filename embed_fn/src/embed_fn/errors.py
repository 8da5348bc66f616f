"""The ways in which a call fails here."""

from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import MODEL_AWAY, DormouseError


def invalid_argument(message: str) -> DormouseError:
    """The request does not make sense; `message` says what it lacks."""
    return DormouseError(error_pb2.ERROR_REASON_INVALID_ARGUMENT, message)


def permission_denied() -> DormouseError:
    """The token's scopes do not hold this."""
    return DormouseError(error_pb2.ERROR_REASON_PERMISSION_DENIED, "The caller may not do this with documents.")


def document_not_found() -> DormouseError:
    """The tenant has no such document or passage."""
    return DormouseError(error_pb2.ERROR_REASON_DOCUMENT_NOT_FOUND, "There is no such document.")


def conflict(message: str) -> DormouseError:
    """The document is in a state that does not allow this; `message` says which."""
    return DormouseError(error_pb2.ERROR_REASON_CONFLICT, message)


def model_not_found(model: str) -> DormouseError:
    """The model server does not hold this model; empty: it holds none that can do it."""
    if not model:
        return DormouseError(
            error_pb2.ERROR_REASON_MODEL_NOT_FOUND, "The model server holds no model that can do this."
        )
    return DormouseError(error_pb2.ERROR_REASON_MODEL_NOT_FOUND, f"There is no model {model[:128]!r}.")


def capability_missing(model: str, ability: str) -> DormouseError:
    """The model cannot do what is asked of it."""
    return DormouseError(
        error_pb2.ERROR_REASON_MODEL_CAPABILITY_MISSING, f"The model {model[:128]!r} does not support {ability}."
    )


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


def model_timeout() -> DormouseError:
    """The model server kept silent for too long."""
    return DormouseError(error_pb2.ERROR_REASON_MODEL_TIMEOUT, "The model server does not answer in time.")


def too_slow() -> DormouseError:
    """Nothing was found in the time that a search may take."""
    return DormouseError(error_pb2.ERROR_REASON_DEADLINE_EXCEEDED, "The search took longer than it may.")


def overloaded(message: str) -> DormouseError:
    """More is waiting than may; nothing of the call has begun."""
    return DormouseError(error_pb2.ERROR_REASON_OVERLOADED, message)


def not_available(what: str) -> DormouseError:
    """This process cannot do it."""
    return DormouseError(error_pb2.ERROR_REASON_FUNCTION_UNAVAILABLE, f"{what} is not available.", retryable=False)


class ModelFailed(DormouseError):  # noqa: N818 - named like the reasons it stands among
    """The model server answered that it could not do it. A text may be to blame."""

    def __init__(self) -> None:
        super().__init__(error_pb2.ERROR_REASON_MODEL_UNAVAILABLE, "The model server cannot answer now.")
