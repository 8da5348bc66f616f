"""Tools of MCP servers that the operator configures, beside the built-in ones."""

from tool_fn.mcp_servers.source import McpSource

__all__ = ["McpSource"]
