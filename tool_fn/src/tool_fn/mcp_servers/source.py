"""One MCP server as a source of tools. The SDK is loaded, and the server asked, when a list is first wanted."""

import asyncio
import importlib
import logging
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson

from tool_fn.config import McpServer
from tool_fn.mcp_servers.remote_tool import RemoteTool
from tool_fn.quoting import visible
from tool_fn.tool import Call, Tool, ToolError

if TYPE_CHECKING:
    from tool_fn.mcp_servers.connection import McpConnection

_logger = logging.getLogger(__name__)
# After so long a list is asked for anew; one that cannot be had anew serves so much longer.
_FRESH_S: Final = 60.0
_STALE_S: Final = 600.0
_AGAIN_S: Final = 5.0
_TIME_LIMIT_S: Final = 60.0
_NAME_CHARACTERS: Final = 64
_DESCRIPTION_CHARACTERS: Final = 2000


class McpSource:
    """See registry.ToolSource.

    A tool's name here is `<server>_<name>`. What the server doesn't call read-only counts as having side effects: it
    runs once for each key, and a person approves it unless the operator says otherwise.
    """

    def __init__(self, name: str, server: McpServer, token: str) -> None:
        """token: the bearer token; empty: none."""
        self.name = f"mcp server {name}"
        self.prefix = f"{name}_"
        self._server = server
        self._token = token
        self._listing: asyncio.Task[Sequence[Tool]] | None = None
        self._tools: Sequence[Tool] = ()
        self._listed_at = self._asked_at = -_STALE_S

    async def tools(self) -> Sequence[Tool]:
        """The tools as of at most a minute ago, older where the server is away. Raises ToolError."""
        now = asyncio.get_running_loop().time()
        if now - self._listed_at < _FRESH_S:
            return self._tools
        is_usable = now - self._listed_at < _STALE_S
        if is_usable and now - self._asked_at < _AGAIN_S:
            return self._tools
        if self._listing is None or self._listing.done():
            self._asked_at = now
            self._listing = asyncio.create_task(self._list())
        try:
            return await asyncio.shield(self._listing)
        except ToolError:
            if is_usable:
                return self._tools
            raise

    async def _list(self) -> Sequence[Tool]:
        connection = await self._connection()
        remote = await connection.list_tools()
        self._tools = [tool for tool in map(self._tool, remote) if tool is not None]
        self._listed_at = asyncio.get_running_loop().time()
        if missing := set(self._server.tools) - {tool.name for tool in remote}:
            _logger.warning("an MCP server lacks tools", extra={"source": self.name, "tools": sorted(missing)})
        return self._tools

    def _tool(self, remote: RemoteTool) -> Tool | None:
        if self._server.tools and remote.name not in self._server.tools:
            return None
        try:
            return Tool(
                name=_name(self.prefix, remote.name),
                # A stranger's text before the model: what nobody can see in it is not in it.
                description=visible(remote.description or remote.name)[:_DESCRIPTION_CHARACTERS],
                input_schema=_visible(remote.input_schema),
                invoke=partial(self._invoke, remote),
                has_side_effects=not remote.reads_only,
                needs_approval=self._server.approve and not remote.reads_only,
                time_limit_s=_TIME_LIMIT_S,
                quotes_strangers=True,
                approval_waived=not self._server.approve,
            )
        except ValueError as error:
            _logger.warning("an MCP tool is left out", extra={"source": self.name, "reason": str(error)})
            return None

    async def _invoke(self, remote: RemoteTool, raw: bytes, call: Call) -> str:
        try:
            arguments = orjson.loads(raw or b"{}")
        except orjson.JSONDecodeError as error:
            raise ToolError(f"The arguments are not valid JSON: {error}.") from error
        if not isinstance(arguments, dict):
            raise ToolError("The arguments are not a JSON object.")
        connection = await self._connection()
        return await connection.call_tool(remote.name, arguments, call)

    async def _connection(self) -> "McpConnection":
        # A second of import, in a thread: other calls go on meanwhile.
        module = await asyncio.to_thread(importlib.import_module, "tool_fn.mcp_servers.connection")
        connection: McpConnection = module.McpConnection(self.name, self._server.url, self._token)
        return connection


def _visible(schema: Any) -> Any:
    """The schema with nothing invisible in what it tells a model."""
    if isinstance(schema, Mapping):
        return {
            name: visible(value) if name in ("description", "title") and isinstance(value, str) else _visible(value)
            for name, value in schema.items()
        }
    return [_visible(item) for item in schema] if isinstance(schema, list) else schema


def _name(prefix: str, name: str) -> str:
    """A name that models and Dormouse take: lower case, digits, underscores."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return f"{prefix}{re.sub(r'[^a-z0-9]+', '_', words.lower()).strip('_')}"[:_NAME_CHARACTERS]
