"""How reading a file fails."""

from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError


class UnreadableError(DormouseError):
    """The file is to blame: trying again changes nothing. `message` is for people: what was found, what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(error_pb2.ERROR_REASON_INVALID_ARGUMENT, message)


def parsers_unavailable() -> DormouseError:
    """No process for reading files can be had now. The file is not to blame."""
    return DormouseError(error_pb2.ERROR_REASON_FUNCTION_UNAVAILABLE, "Files cannot be read at the moment.")
