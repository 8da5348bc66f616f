"""One mapping between DormouseError and a gRPC status, in both directions."""

import grpc
import grpc.aio
import pytest
from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DETAILS_KEY, DormouseError, from_rpc_error, status_code, status_details
from google.rpc import error_details_pb2, status_pb2

REASONS = [value.number for value in error_pb2.ErrorReason.DESCRIPTOR.values if value.number]


def rpc_error(code: grpc.StatusCode, text: str = "", details: object = None) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata() if details is None else grpc.aio.Metadata((DETAILS_KEY, details))  # type: ignore[arg-type]
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, text)


@pytest.mark.parametrize("reason", REASONS, ids=error_pb2.ErrorReason.Name)
def test_every_reason_survives_the_way_to_the_caller(reason: int) -> None:
    sent = DormouseError(reason, "Niemand da: für später.", details={"model": "m"})
    assert status_code(reason) is not grpc.StatusCode.UNKNOWN
    got = from_rpc_error(rpc_error(status_code(reason), sent.message, status_details(sent)))
    assert (got.reason, got.message, got.retryable, got.details) == (
        reason,
        sent.message,
        sent.retryable,
        {"model": "m"},
    )


def test_the_error_info_carries_our_domain_and_the_short_reason() -> None:
    status = status_pb2.Status.FromString(status_details(DormouseError(error_pb2.ERROR_REASON_THREAD_BUSY, "Busy.")))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason) == ("dormouse", "THREAD_BUSY")
    assert status.code == grpc.StatusCode.ABORTED.value[0]


def test_what_an_error_says_of_a_retry_wins_over_its_reason() -> None:
    error = DormouseError(error_pb2.ERROR_REASON_MODEL_UNAVAILABLE, "Gone for good.", retryable=False)
    assert not from_rpc_error(rpc_error(grpc.StatusCode.UNAVAILABLE, "x", status_details(error))).retryable


@pytest.mark.parametrize(
    ("code", "reason", "retryable"),
    [
        (grpc.StatusCode.UNAVAILABLE, error_pb2.ERROR_REASON_FUNCTION_UNAVAILABLE, True),
        (grpc.StatusCode.DEADLINE_EXCEEDED, error_pb2.ERROR_REASON_DEADLINE_EXCEEDED, True),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, error_pb2.ERROR_REASON_OVERLOADED, True),
        (grpc.StatusCode.UNAUTHENTICATED, error_pb2.ERROR_REASON_UNAUTHENTICATED, False),
        (grpc.StatusCode.INVALID_ARGUMENT, error_pb2.ERROR_REASON_INVALID_ARGUMENT, False),
        (grpc.StatusCode.UNKNOWN, error_pb2.ERROR_REASON_INTERNAL, False),
        (grpc.StatusCode.UNIMPLEMENTED, error_pb2.ERROR_REASON_INTERNAL, False),
    ],
)
def test_a_bare_status_gets_a_reason_and_a_neutral_text(code: grpc.StatusCode, reason: int, retryable: bool) -> None:
    error = from_rpc_error(rpc_error(code, "Exception calling application: secret"))
    assert (error.reason, error.retryable) == (reason, retryable)
    assert "secret" not in error.message


def test_a_message_over_the_limit_is_the_callers_fault() -> None:
    error = from_rpc_error(
        rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED, "CLIENT: Sent message larger than max (2 vs. 1)")
    )
    assert error.reason == error_pb2.ERROR_REASON_INVALID_ARGUMENT
    assert not error.retryable


@pytest.mark.parametrize("details", [b"\xff\xff", b"", "text"])
def test_details_that_are_not_ours_are_passed_over(details: object) -> None:
    error = from_rpc_error(rpc_error(grpc.StatusCode.UNAVAILABLE, "x", details))
    assert error.reason == error_pb2.ERROR_REASON_FUNCTION_UNAVAILABLE


def test_a_reason_from_a_later_version_is_internal() -> None:
    error = DormouseError(error_pb2.ERROR_REASON_CONFLICT, "Later.")
    packed = status_details(error).replace(b"CONFLICT", b"CONFLUX!")
    got = from_rpc_error(rpc_error(grpc.StatusCode.FAILED_PRECONDITION, "Later.", packed))
    assert (got.reason, got.message) == (error_pb2.ERROR_REASON_INTERNAL, "Later.")


def test_a_long_text_does_not_break_the_trailers() -> None:
    error = DormouseError(error_pb2.ERROR_REASON_TOOL_FAILED, "ä" * 100_000, details={"k": "v" * 100_000})
    assert len(status_details(error)) < 4096
