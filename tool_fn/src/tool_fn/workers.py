"""The workers of tools: those of the runtime, whose failures are ToolErrors here."""

from collections.abc import Callable
from functools import wraps

import dormouse_runtime.workers
from dormouse_runtime.workers import RefusalError, WorkerError

from tool_fn.tool import ToolError


class Workers(dormouse_runtime.workers.Workers):
    """As the runtime's."""

    async def call(self, name: str, request: bytes, time_limit_s: float) -> bytes:
        """As the runtime's, but every failure is a ToolError."""
        try:
            return await super().call(name, request, time_limit_s)
        except WorkerError as error:
            raise ToolError(str(error)) from error


def refuses_with_tool_errors(handle: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Lets a worker's `handle` raise ToolError."""

    @wraps(handle)
    def handles(request: bytes) -> bytes:
        try:
            return handle(request)
        except ToolError as error:
            raise RefusalError(str(error)) from error

    return handles
