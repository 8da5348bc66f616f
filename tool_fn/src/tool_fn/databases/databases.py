"""The configured databases by name; psycopg is loaded, and a pool is made, when a tool first needs one."""

import asyncio
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tool_fn.config import Database, Secrets
from tool_fn.tool import ToolError

if TYPE_CHECKING:
    from tool_fn.databases.reader import DatabaseReader


class Databases:
    """Readers for the databases of the configuration."""

    def __init__(self, configured: Mapping[str, Database], secrets: Secrets) -> None:
        self._configured = configured
        self._secrets = secrets
        self._opening: dict[str, asyncio.Task[DatabaseReader]] = {}

    async def get(self, name: str) -> "DatabaseReader":
        """The reader of this database. Raises ToolError where there is no such database."""
        if name not in self._configured:
            known = ", ".join(sorted(self._configured)) or "none"
            raise ToolError(f"There is no database {name!r}. There are: {known}.")
        if name not in self._opening:
            self._opening[name] = asyncio.create_task(self._open(name))
        return await asyncio.shield(self._opening[name])

    async def aclose(self) -> None:
        """Closes all connections."""
        for opening in self._opening.values():
            await (await opening).aclose()

    async def _open(self, name: str) -> "DatabaseReader":
        module = await asyncio.to_thread(importlib.import_module, "tool_fn.databases.reader")
        reader: DatabaseReader = await module.DatabaseReader.open(name, self._secrets[self._configured[name].url_env])
        return reader
