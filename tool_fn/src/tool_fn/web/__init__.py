"""HTTP for tools: strangers' addresses behind a guard, and the providers that the operator configures."""

from tool_fn.web.client import Answer, WebClient
from tool_fn.web.errors import FetchError, RefusedError
from tool_fn.web.guard import Guard
from tool_fn.web.rules import Rules

__all__ = ["Answer", "FetchError", "Guard", "RefusedError", "Rules", "WebClient"]
