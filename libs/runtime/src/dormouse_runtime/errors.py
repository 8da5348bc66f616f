"""One exception for every failure, and its two forms: in Python and on a gRPC call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import grpc
import grpc.aio
from dormouse.common.v1 import error_pb2

if TYPE_CHECKING:
    from google.rpc import error_details_pb2

DOMAIN: Final = "dormouse"
DETAILS_KEY: Final = "grpc-status-details-bin"
_PREFIX: Final = "ERROR_REASON_"
_RETRYABLE: Final = "retryable"
MODEL_AWAY: Final[Mapping[str, str]] = {"model_server": "away"}
"""Details of a MODEL_UNAVAILABLE: nobody took the connection. It sleeps, or is on its way to another node."""
# A status travels in HTTP/2 trailers, which peers cap at 8 KB or 16 KB in all; it is in there twice.
_MESSAGE_LIMIT: Final = 1_000
_DETAIL_LIMIT: Final = 500

_E = error_pb2
_C = grpc.StatusCode
_CODES: Final[Mapping[int, grpc.StatusCode]] = {
    _E.ERROR_REASON_INVALID_ARGUMENT: _C.INVALID_ARGUMENT,
    _E.ERROR_REASON_AGENT_NOT_FOUND: _C.NOT_FOUND,
    _E.ERROR_REASON_MODEL_NOT_FOUND: _C.NOT_FOUND,
    _E.ERROR_REASON_THREAD_NOT_FOUND: _C.NOT_FOUND,
    _E.ERROR_REASON_RUN_NOT_FOUND: _C.NOT_FOUND,
    _E.ERROR_REASON_TOOL_NOT_FOUND: _C.NOT_FOUND,
    _E.ERROR_REASON_DOCUMENT_NOT_FOUND: _C.NOT_FOUND,
    _E.ERROR_REASON_CONTEXT_LENGTH_EXCEEDED: _C.INVALID_ARGUMENT,
    _E.ERROR_REASON_MODEL_CAPABILITY_MISSING: _C.FAILED_PRECONDITION,
    _E.ERROR_REASON_THREAD_BUSY: _C.ABORTED,
    _E.ERROR_REASON_CONFLICT: _C.FAILED_PRECONDITION,
    _E.ERROR_REASON_ARTIFACT_NOT_FOUND: _C.NOT_FOUND,
    _E.ERROR_REASON_CONTENT_FILTERED: _C.FAILED_PRECONDITION,
    _E.ERROR_REASON_UNAUTHENTICATED: _C.UNAUTHENTICATED,
    _E.ERROR_REASON_PERMISSION_DENIED: _C.PERMISSION_DENIED,
    _E.ERROR_REASON_RATE_LIMITED: _C.RESOURCE_EXHAUSTED,
    _E.ERROR_REASON_MODEL_UNAVAILABLE: _C.UNAVAILABLE,
    # Not DEADLINE_EXCEEDED: that says the caller's own deadline passed.
    _E.ERROR_REASON_MODEL_TIMEOUT: _C.UNAVAILABLE,
    _E.ERROR_REASON_DATABASE_UNAVAILABLE: _C.UNAVAILABLE,
    _E.ERROR_REASON_CACHE_UNAVAILABLE: _C.UNAVAILABLE,
    _E.ERROR_REASON_FUNCTION_UNAVAILABLE: _C.UNAVAILABLE,
    _E.ERROR_REASON_OVERLOADED: _C.RESOURCE_EXHAUSTED,
    _E.ERROR_REASON_DEADLINE_EXCEEDED: _C.DEADLINE_EXCEEDED,
    _E.ERROR_REASON_STREAM_BROKEN: _C.ABORTED,
    _E.ERROR_REASON_SHUTTING_DOWN: _C.UNAVAILABLE,
    _E.ERROR_REASON_TOOL_FAILED: _C.ABORTED,
    _E.ERROR_REASON_INTERNAL: _C.INTERNAL,
}

# What a bare status means when the peer was not ours or the call never reached it.
_REASONS: Final[Mapping[grpc.StatusCode, tuple[int, str]]] = {
    _C.INVALID_ARGUMENT: (_E.ERROR_REASON_INVALID_ARGUMENT, "The function refused the request."),
    _C.OUT_OF_RANGE: (_E.ERROR_REASON_INVALID_ARGUMENT, "The function refused the request."),
    _C.UNAUTHENTICATED: (_E.ERROR_REASON_UNAUTHENTICATED, "The function does not accept the caller's token."),
    _C.PERMISSION_DENIED: (_E.ERROR_REASON_PERMISSION_DENIED, "The caller may not do this."),
    _C.FAILED_PRECONDITION: (_E.ERROR_REASON_CONFLICT, "The state of the thing does not allow this."),
    _C.RESOURCE_EXHAUSTED: (_E.ERROR_REASON_OVERLOADED, "The function is at its limit."),
    _C.UNAVAILABLE: (_E.ERROR_REASON_FUNCTION_UNAVAILABLE, "The function can't be reached."),
    _C.DEADLINE_EXCEEDED: (_E.ERROR_REASON_DEADLINE_EXCEEDED, "The call took longer than it may."),
    # Not by us, or there would be a CancelledError: a server that stops does this to calls it hasn't begun.
    _C.CANCELLED: (_E.ERROR_REASON_FUNCTION_UNAVAILABLE, "The function broke off the call."),
}


class DormouseError(Exception):
    """A failure that callers are told about.

    reason: a value of `dormouse.common.v1.ErrorReason`. message: a sentence for people; never holds another exception's
    text. retryable: whether the same call may succeed later; by default what the reason says. details: short facts for
    programs (text to text, at most 500 characters each).
    """

    def __init__(
        self,
        reason: int,
        message: str,
        *,
        retryable: bool | None = None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.reason: error_pb2.ErrorReason.ValueType = error_pb2.ErrorReason.ValueType(reason)
        self.message = message
        self.retryable = is_retryable(reason) if retryable is None else retryable
        self.details: Mapping[str, str] = dict(details or {})

    @property
    def reason_name(self) -> str:
        """The reason as it stands in ErrorInfo, for instance "MODEL_NOT_FOUND"."""
        return reason_name(self.reason)

    def __repr__(self) -> str:
        return f"DormouseError({self.reason_name}, {self.message!r})"


def reason_name(reason: int) -> str:
    """The reason without its prefix; "INTERNAL" for a number that this version doesn't know."""
    value = error_pb2.ErrorReason.DESCRIPTOR.values_by_number.get(reason)
    return "INTERNAL" if value is None or reason == 0 else value.name.removeprefix(_PREFIX)


def is_retryable(reason: int) -> bool:
    """Whether the same call may succeed later: ours or a peer's passing fault, and rate limits."""
    return reason == error_pb2.ERROR_REASON_RATE_LIMITED or 40 <= reason < 60


def status_code(reason: int) -> grpc.StatusCode:
    """The gRPC status of a reason."""
    return _CODES.get(reason, grpc.StatusCode.INTERNAL)


def status_details(error: DormouseError) -> bytes:
    """The error as a serialized google.rpc.Status with one google.rpc.ErrorInfo."""
    # Loaded with the first error: a start without errors need not pay for it.
    from google.protobuf import any_pb2
    from google.rpc import error_details_pb2, status_pb2

    info = error_details_pb2.ErrorInfo(reason=error.reason_name, domain=DOMAIN)
    for key, value in error.details.items():
        info.metadata[key] = value[:_DETAIL_LIMIT]
    info.metadata[_RETRYABLE] = "true" if error.retryable else "false"
    packed = any_pb2.Any()
    packed.Pack(info)
    code: int = status_code(error.reason).value[0]
    status = status_pb2.Status(code=code, message=error.message[:_MESSAGE_LIMIT], details=[packed])
    return bytes(status.SerializeToString())


async def abort(context: grpc.aio.ServicerContext[object, object], error: DormouseError) -> None:
    """Ends the call with the error. Always raises."""
    await context.abort(
        status_code(error.reason),
        error.message[:_MESSAGE_LIMIT],
        ((DETAILS_KEY, status_details(error)),),
    )


def from_rpc_error(error: grpc.aio.AioRpcError) -> DormouseError:
    """What a failed call says, ours or foreign.

    With Dormouse's ErrorInfo: the error as it was raised. Without: the status decides (UNAVAILABLE becomes
    FUNCTION_UNAVAILABLE, DEADLINE_EXCEEDED stays, the unknown becomes INTERNAL) and the text is a neutral one.
    """
    info = _error_info(error)
    if info is not None:
        details = dict(info.metadata)
        retryable = details.pop(_RETRYABLE, None)
        known = error_pb2.ErrorReason.DESCRIPTOR.values_by_name.get(_PREFIX + info.reason)
        return DormouseError(
            error_pb2.ERROR_REASON_INTERNAL if known is None else known.number,
            error.details() or "",
            retryable=None if retryable is None else retryable == "true",
            details=details,
        )
    code = error.code()
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "message larger than max" in (error.details() or ""):
        return DormouseError(error_pb2.ERROR_REASON_INVALID_ARGUMENT, "The message is larger than the function takes.")
    reason, message = _REASONS.get(code, (error_pb2.ERROR_REASON_INTERNAL, "The function failed."))
    return DormouseError(reason, message, details={"grpc_status": code.name})


def _error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    packed = next((value for key, value in error.trailing_metadata() or () if key == DETAILS_KEY), None)
    if not isinstance(packed, bytes):
        return None
    from google.protobuf.message import DecodeError
    from google.rpc import error_details_pb2, status_pb2

    info = error_details_pb2.ErrorInfo()
    try:
        for detail in status_pb2.Status.FromString(packed).details:
            if detail.Unpack(info) and info.domain == DOMAIN:
                return info
    except DecodeError:
        return None  # a proxy's or a foreign server's; the status still tells
    return None
