"""The tools of the MCP servers in the configuration."""

from collections.abc import Iterable

from tool_fn.mcp_servers import McpSource
from tool_fn.means import Means


def build_sources(means: Means) -> Iterable[McpSource]:
    """A source for each server."""
    for name, server in sorted(means.config.mcp.servers.items()):
        yield McpSource(name, server, means.secrets[server.token_env] if server.token_env else "")
