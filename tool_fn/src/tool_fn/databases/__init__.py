"""The operator's own databases, which tools may read and never write."""

from tool_fn.databases.databases import Databases
from tool_fn.databases.rows import Rows

__all__ = ["Databases", "Rows"]
