"""Errors as clients see them: OpenAI's shape, and one table from reasons to HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class HttpMeaning:
    """What a reason is in HTTP and in OpenAI's error object."""

    status: int
    type: str
    code: str
    should_retry: bool | None = None
    """`x-should-retry`, which the OpenAI SDKs obey. None: their own rules fit."""
    retry_after_s: int | None = None


_INVALID = "invalid_request_error"
_SERVER = "server_error"

MEANINGS: Mapping[int, HttpMeaning] = {
    ErrorReason.ERROR_REASON_INVALID_ARGUMENT: HttpMeaning(400, _INVALID, "invalid_argument"),
    ErrorReason.ERROR_REASON_AGENT_NOT_FOUND: HttpMeaning(404, _INVALID, "agent_not_found"),
    ErrorReason.ERROR_REASON_MODEL_NOT_FOUND: HttpMeaning(404, _INVALID, "model_not_found"),
    ErrorReason.ERROR_REASON_THREAD_NOT_FOUND: HttpMeaning(404, _INVALID, "thread_not_found"),
    ErrorReason.ERROR_REASON_RUN_NOT_FOUND: HttpMeaning(404, _INVALID, "run_not_found"),
    ErrorReason.ERROR_REASON_TOOL_NOT_FOUND: HttpMeaning(404, _INVALID, "tool_not_found"),
    ErrorReason.ERROR_REASON_DOCUMENT_NOT_FOUND: HttpMeaning(404, _INVALID, "document_not_found"),
    ErrorReason.ERROR_REASON_CONTEXT_LENGTH_EXCEEDED: HttpMeaning(400, _INVALID, "context_length_exceeded"),
    ErrorReason.ERROR_REASON_MODEL_CAPABILITY_MISSING: HttpMeaning(400, _INVALID, "model_capability_missing"),
    # The SDKs retry every 409; a client that chose `reject` wants to know at once.
    ErrorReason.ERROR_REASON_THREAD_BUSY: HttpMeaning(409, "conflict_error", "thread_busy", should_retry=False),
    ErrorReason.ERROR_REASON_CONFLICT: HttpMeaning(409, "conflict_error", "conflict", should_retry=False),
    ErrorReason.ERROR_REASON_ARTIFACT_NOT_FOUND: HttpMeaning(404, _INVALID, "artifact_not_found"),
    ErrorReason.ERROR_REASON_CONTENT_FILTERED: HttpMeaning(400, _INVALID, "content_filter", should_retry=False),
    # Ours, not the client's: a function does not accept the token that we sign, for instance for want of a key.
    ErrorReason.ERROR_REASON_UNAUTHENTICATED: HttpMeaning(503, _SERVER, "function_unavailable", True, 2),
    ErrorReason.ERROR_REASON_PERMISSION_DENIED: HttpMeaning(403, "permission_error", "permission_denied"),
    ErrorReason.ERROR_REASON_RATE_LIMITED: HttpMeaning(429, "rate_limit_error", "rate_limit_exceeded"),
    ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE: HttpMeaning(503, _SERVER, "model_unavailable", True, 2),
    ErrorReason.ERROR_REASON_MODEL_TIMEOUT: HttpMeaning(504, _SERVER, "model_timeout", True, 2),
    ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE: HttpMeaning(503, _SERVER, "database_unavailable", True, 2),
    ErrorReason.ERROR_REASON_CACHE_UNAVAILABLE: HttpMeaning(503, _SERVER, "cache_unavailable", True, 2),
    ErrorReason.ERROR_REASON_FUNCTION_UNAVAILABLE: HttpMeaning(503, _SERVER, "function_unavailable", True, 2),
    ErrorReason.ERROR_REASON_OVERLOADED: HttpMeaning(503, _SERVER, "overloaded", True, 2),
    ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED: HttpMeaning(504, _SERVER, "deadline_exceeded", True, 2),
    ErrorReason.ERROR_REASON_STREAM_BROKEN: HttpMeaning(502, _SERVER, "stream_broken", True),
    ErrorReason.ERROR_REASON_SHUTTING_DOWN: HttpMeaning(503, _SERVER, "shutting_down", True, 1),
    ErrorReason.ERROR_REASON_TOOL_FAILED: HttpMeaning(502, _SERVER, "tool_failed"),
    ErrorReason.ERROR_REASON_INTERNAL: HttpMeaning(500, _SERVER, "internal_error"),
}

INTERNAL_TEXT = "Something went wrong on our side. The request id tells operators where to look."


def meaning_of(reason: int) -> HttpMeaning:
    """The table's row; a reason that the table does not know reads as INTERNAL."""
    return MEANINGS.get(reason, MEANINGS[ErrorReason.ERROR_REASON_INTERNAL])


class ApiError(Exception):
    """An answer other than success, ready to be sent."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = _INVALID,  # noqa: A002 - OpenAI's own word
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    @classmethod
    def of(cls, reason: int, message: str, param: str | None = None) -> "ApiError":
        """The error that a reason of the platform stands for."""
        meaning = meaning_of(reason)
        headers: dict[str, str] = {}
        if meaning.should_retry is not None:
            headers["x-should-retry"] = "true" if meaning.should_retry else "false"
        if meaning.retry_after_s is not None:
            headers["retry-after"] = str(meaning.retry_after_s)
        return cls(meaning.status, message, type=meaning.type, code=meaning.code, param=param, headers=headers)

    @classmethod
    def from_dormouse(cls, error: DormouseError) -> "ApiError":
        """The error that a part of the platform has raised."""
        return cls.of(error.reason, error.message, error.details.get("param"))

    def body(self) -> bytes:
        """The JSON document."""
        return orjson.dumps(
            {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}
        )

    def response(self) -> Response:
        """The whole answer."""
        return Response(self.body(), self.status, self.headers, media_type="application/json")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers as an ASGI application."""
        await self.response()(scope, receive, send)


def internal_error() -> ApiError:
    """A defect of ours: says nothing about itself."""
    return ApiError.of(ErrorReason.ERROR_REASON_INTERNAL, INTERNAL_TEXT)


def invalid_argument(message: str, param: str | None = None) -> ApiError:
    """400: the request is not one that can be carried out."""
    return ApiError.of(ErrorReason.ERROR_REASON_INVALID_ARGUMENT, message, param)


def unauthenticated(message: str) -> ApiError:
    """401 with the challenge that HTTP asks for."""
    challenge = {"www-authenticate": 'Bearer realm="dormouse"'}
    return ApiError(401, message, code="invalid_api_key", headers=challenge)


def insufficient_scope(scope: str) -> ApiError:
    """403: the credential is somebody's, but not for this."""
    return ApiError(
        403,
        f"This credential may not do that: the scope `{scope}` is missing, or the user's role has not got it.",
        type="permission_error",
        code="insufficient_scope",
        headers={"www-authenticate": f'Bearer realm="dormouse", error="insufficient_scope", scope="{scope}"'},
    )
