"""What an MCP server says of one of its tools."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RemoteTool:
    """A tool as its server describes it. reads_only: by the server's own word."""

    name: str
    description: str
    input_schema: Mapping[str, Any]
    reads_only: bool
