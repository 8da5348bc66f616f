"""How a request to the web fails. Each is a sentence that a model can act on."""

from tool_fn.tool import ToolError


class RefusedError(ToolError):
    """The address is one that tools do not reach. Nothing was sent to it."""


class FetchError(ToolError):
    """The other side cannot be reached or did not answer properly. `is_sent`: it may have received the request."""

    def __init__(self, message: str, *, is_sent: bool = True) -> None:
        super().__init__(message)
        self.is_sent = is_sent
