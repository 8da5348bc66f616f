"""The ways in which a call is refused. What goes wrong inside a tool is a result, not an error."""

from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError


def invalid_argument(message: str) -> DormouseError:
    """The request does not make sense; `message` says what it lacks."""
    return DormouseError(error_pb2.ERROR_REASON_INVALID_ARGUMENT, message)


def tool_not_found(name: str) -> DormouseError:
    """No tool has this name."""
    return DormouseError(error_pb2.ERROR_REASON_TOOL_NOT_FOUND, f"There is no tool {name[:64]!r}.")


def permission_denied(name: str) -> DormouseError:
    """The token's scopes do not hold this tool."""
    return DormouseError(error_pb2.ERROR_REASON_PERMISSION_DENIED, f"The caller may not use the tool {name[:64]!r}.")


def overloaded() -> DormouseError:
    """As many tools run as may; the call has not begun."""
    return DormouseError(error_pb2.ERROR_REASON_OVERLOADED, "As many tools are running as may; try again shortly.")


def shutting_down() -> DormouseError:
    """This process begins no new calls."""
    return DormouseError(error_pb2.ERROR_REASON_SHUTTING_DOWN, "This instance is shutting down.")
