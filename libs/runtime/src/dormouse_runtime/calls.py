"""What every call to a function passes through: limit, deadline, identity, log ids, trace, metrics, error mapping.

One interceptor, which wraps each method's handler once. A call costs it a few microseconds; a streamed message nothing:
the loop that writes a stream's messages is the one that grpc.aio would run itself.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from dormouse.common.v1 import error_pb2

from dormouse_runtime import deadlines, errors, logs, telemetry
from dormouse_runtime.client import REQUEST_ID
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.identity import TokenVerifier, bind_identity
from dormouse_runtime.metrics import MethodMetrics, RpcMetrics

_logger = logging.getLogger(__name__)
_OPEN: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")
_REQUEST_ID_LIMIT: Final = 128

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Guards and observes all methods but health and reflection, which anybody may ask."""

    def __init__(self, verifier: TokenVerifier, metrics: RpcMetrics, max_concurrent_rpcs: int) -> None:
        self._verifier = verifier
        self._metrics = metrics
        self._limit = max_concurrent_rpcs
        self._wrapped: dict[str, Handler] = {}
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None or method.startswith(_OPEN):
            return handler
        self._wrapped[method] = self._wrap(handler, method.removeprefix("/"))
        return self._wrapped[method]

    def refuse_new_calls(self) -> None:
        """From now on calls are turned away with SHUTTING_DOWN."""
        self._draining = True

    async def idle(self) -> None:
        """Returns when no call is under way."""
        await self._idle.wait()

    def _wrap(self, handler: Handler, method: str) -> Handler:
        metrics = self._metrics.method(method)
        if handler.response_streaming:
            inner = handler.stream_stream if handler.request_streaming else handler.unary_stream
            if not handler.request_streaming:
                behaviour = self._streaming(inner, method, metrics, _Request.take)
                read = partial(_Request, handler.request_deserializer)
                return grpc.unary_stream_rpc_method_handler(behaviour, read, handler.response_serializer)
            behaviour = self._streaming(inner, method, metrics, lambda requests: requests)
            make = grpc.stream_stream_rpc_method_handler
        else:
            inner = handler.stream_unary if handler.request_streaming else handler.unary_unary
            behaviour = self._unary(inner, method, metrics)
            make = (
                grpc.stream_unary_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_unary_rpc_method_handler
            )
        return make(behaviour, handler.request_deserializer, handler.response_serializer)

    def _unary(self, inner: Any, method: str, metrics: MethodMetrics) -> Any:
        async def call(request: Any, context: Context) -> Any:
            scope = _Scope(self, method, metrics, context)
            try:
                scope.enter()
                return await inner(request, context)
            except BaseException as error:
                await scope.fail(error)
                raise
            finally:
                scope.leave()

        return call

    def _streaming(self, inner: Any, method: str, metrics: MethodMetrics, take: Callable[[Any], Any]) -> Any:
        writes_itself = inspect.iscoroutinefunction(inner)

        async def call(request: Any, context: Context) -> None:
            scope = _Scope(self, method, metrics, context)
            try:
                scope.enter()
                if writes_itself:
                    await inner(take(request), context)
                    return
                write = context.write
                async with aclosing(inner(take(request), context)) as responses:
                    async for response in responses:
                        await write(response)
            except BaseException as error:
                await scope.fail(error)
                raise
            finally:
                scope.leave()

        return call

    def admit(self) -> None:
        if self._draining:
            raise DormouseError(error_pb2.ERROR_REASON_SHUTTING_DOWN, "The function is shutting down.")
        if self._in_flight >= self._limit:
            raise DormouseError(error_pb2.ERROR_REASON_OVERLOADED, "The function is at its limit of concurrent calls.")
        self._in_flight += 1
        self._idle.clear()

    def release(self) -> None:
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle.set()

    def identify(self, metadata: dict[str, Any]) -> None:
        scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise DormouseError(error_pb2.ERROR_REASON_UNAUTHENTICATED, "The call carries no service token.")
        identity = self._verifier.verify(token)
        bind_identity(identity)
        logs.bind(tenant=identity.tenant, run_id=identity.run_id)


class _Request:
    """A request of a streaming call until its handler takes it.

    grpc.aio keeps what a deserializer returns for as long as the call is open. This way a handler that lets go of its
    request frees it, and what waits for a model's first token does not hold each conversation once more.
    """

    __slots__ = ("_message",)

    def __init__(self, read: Callable[[bytes], Any] | None, data: bytes) -> None:
        self._message = data if read is None else read(data)

    def take(self) -> Any:
        message, self._message = self._message, None
        return message


class _Scope:
    """One call, from its start to its end, whatever the end is."""

    __slots__ = ("_admitted", "_calls", "_code", "_context", "_method", "_metrics", "_span", "_started")

    def __init__(self, calls: CallInterceptor, method: str, metrics: MethodMetrics, context: Context) -> None:
        self._calls = calls
        self._method = method
        self._metrics = metrics
        self._context = context
        self._code = "OK"
        self._admitted = False
        self._span: telemetry.Span | None = None
        self._started = time.perf_counter()
        metrics.started()

    def enter(self) -> None:
        metadata = dict(self._context.invocation_metadata() or ())
        logs.bind(request_id=_request_id(metadata.get(REQUEST_ID)))
        telemetry.continue_trace(metadata)
        self._span = telemetry.rpc_span(self._method, "server")
        if self._span is not None:
            self._span.__enter__()
        self._calls.admit()
        self._admitted = True
        # None, whatever the type stubs say, when the caller has set no deadline.
        remaining: float | None = self._context.time_remaining()
        if remaining is None:
            raise DormouseError(
                error_pb2.ERROR_REASON_INVALID_ARGUMENT, "The call has no deadline: set one, every call needs it."
            )
        deadlines.bind_deadline(remaining)
        self._calls.identify(metadata)

    async def fail(self, error: BaseException) -> None:
        """Gives the call the status that fits the error, or returns where the call has ended already."""
        if isinstance(error, grpc.aio.AbortError):
            self._code = _name(self._context.code())
            return
        if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
            self._code = "DEADLINE_EXCEEDED" if self._context.time_remaining() == 0 else "CANCELLED"
            _logger.debug("call cancelled", extra={"method": self._method})
            return
        if not isinstance(error, Exception | asyncio.CancelledError):
            self._code = "UNKNOWN"
            return
        if self._context.done():
            self._code = "CANCELLED"  # the caller is gone, so writing failed
            _logger.debug("caller gone", extra={"method": self._method, "error": type(error).__name__})
            return
        if not isinstance(error, DormouseError):
            _logger.error("handler failed", exc_info=error, extra={"method": self._method})
            error = DormouseError(
                error_pb2.ERROR_REASON_INTERNAL, "The function failed on its side; it is logged there."
            )
        self._code = errors.status_code(error.reason).name
        if self._span is not None:
            self._span.fail(error.reason_name)
        await errors.abort(self._context, error)

    def leave(self) -> None:
        self._metrics.finished(self._code, time.perf_counter() - self._started)
        if self._admitted:
            self._calls.release()
        if self._span is not None:
            self._span.set(telemetry.RPC_STATUS_CODE, self._code)
            self._span.__exit__(None, None, None)


def _is_being_cancelled() -> bool:
    """Whether somebody ends this call.

    Otherwise a CancelledError comes from a task that the handler awaited. grpc.aio sends no status at all for it, so
    the caller would wait until its deadline.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _name(code: object) -> str:
    """The name of a status code, which a servicer context gives as a number or an enum."""
    if isinstance(code, grpc.StatusCode):
        return code.name
    return next((status.name for status in grpc.StatusCode if status.value[0] == code), "UNKNOWN")


def _request_id(sent: object) -> str:
    """The caller's request id if it can stand in a log line, else a new one."""
    if isinstance(sent, str) and 0 < len(sent) <= _REQUEST_ID_LIMIT and sent.isascii() and sent.isprintable():
        return sent
    return "req_" + secrets.token_hex(12)
