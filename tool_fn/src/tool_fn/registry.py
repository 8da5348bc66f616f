"""Finds the tools: every module in the folder `tools`, and in the operator's own folder, that can build some."""

import asyncio
import hashlib
import importlib
import importlib.util
import logging
import pkgutil
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Final, Protocol

from dormouse_runtime.settings import SettingsError

from tool_fn import tools
from tool_fn.means import Means
from tool_fn.tool import Tool, ToolError

_logger = logging.getLogger(__name__)
# How long a list waits for a source that does not answer; it is left out then.
_SOURCE_S: Final = 5.0


class ToolSource(Protocol):
    """Tools that somebody else has, such as an MCP server, and that may come and go.

    name: for logs. prefix: what the names of its tools begin with.
    """

    name: str
    prefix: str

    async def tools(self) -> Sequence[Tool]:
        """The tools there are now. Called often: remember them. Raises ToolError where it cannot be reached."""


class Registry:
    """All tools by name.

    A module gives tools with `build_tools(means) -> Iterable[Tool]`, sources with `build_sources(means) ->
    Iterable[ToolSource]`, or both. What a name stands for is decided in this order: the modules' tools, then the
    sources' in their order; of two equal names only the first one is offered, and the other is logged.
    """

    def __init__(
        self,
        means: Means,
        static: Iterable[Tool],
        sources: Sequence[ToolSource] = (),
        absent: Collection[str] = frozenset(),
    ) -> None:
        """absent: names that tools have which are not there as this is configured.

        Raises SettingsError for two tools of one name, and for approval or a ban of a tool that cannot be: what was
        meant by it would go unguarded.
        """
        self._approval: Mapping[str, bool] = means.config.approval
        self._disabled = means.config.disabled
        self._static: dict[str, Tool] = {}
        for tool in static:
            if tool.name in self._static:
                raise SettingsError(f"there are two tools with the name {tool.name!r}")
            self._static[tool.name] = tool
        self._sources = sources
        prefixes = tuple(source.prefix for source in sources)
        for section, names in (("approval", self._approval), ("disabled", self._disabled)):
            for name in names:
                if not (name in self._static or name in absent or name.startswith(prefixes)):
                    known = ", ".join(sorted(self._static))
                    raise SettingsError(f"{section}: there is no tool {name!r}; there are: {known}")
        self._static = {name: self._as_configured(tool) for name, tool in self._static.items() if self._offers(name)}
        self._shadowed: set[tuple[str, str]] = set()

    @classmethod
    def build(cls, means: Means, folder: Path | None = None) -> "Registry":
        """Imports the built-in modules and those in `folder`. Raises SettingsError, which names the file."""
        static: list[Tool] = []
        sources: list[ToolSource] = []
        modules = (*built_in(), *_in_folder(folder))
        for module in modules:
            try:
                static += getattr(module, "build_tools", _nothing)(means)
                sources += getattr(module, "build_sources", _nothing)(means)
            except (TypeError, ValueError) as error:
                raise SettingsError(f"{module.__file__}: {error}") from error
        # sql_query, for instance, is there only with a database.
        return cls(means, static, sources, {module.__name__.rpartition(".")[2] for module in modules})

    async def tools(self) -> list[Tool]:
        """All of them, by name. Sources that cannot be reached are left out."""
        found = dict(self._static)
        for source, offered in zip(self._sources, await self._ask_sources(), strict=True):
            for tool in offered:
                if tool.name in found:
                    self._say_shadowed(source.name, tool.name)
                elif self._offers(tool.name):
                    found[tool.name] = self._as_configured(tool)
        return sorted(found.values(), key=lambda tool: tool.name)

    async def find(self, name: str) -> Tool | None:
        """The tool of this name."""
        tool = self._static.get(name)
        if tool is not None or not self._sources:
            return tool
        return next((tool for tool in await self.tools() if tool.name == name), None)

    async def _ask_sources(self) -> list[Sequence[Tool]]:
        return list(await asyncio.gather(*(_ask(source) for source in self._sources)))

    def _offers(self, name: str) -> bool:
        return name not in self._disabled

    def _as_configured(self, tool: Tool) -> Tool:
        approval = self._approval.get(tool.name)
        if approval is None:
            return tool
        return replace(tool, needs_approval=approval, approval_waived=not approval)

    def _say_shadowed(self, source: str, name: str) -> None:
        if (source, name) not in self._shadowed:
            self._shadowed.add((source, name))
            _logger.warning("a tool is left out: another one has its name", extra={"source": source, "tool": name})


async def _ask(source: ToolSource) -> Sequence[Tool]:
    try:
        async with asyncio.timeout(_SOURCE_S):
            return await source.tools()
    except (ToolError, TimeoutError) as error:
        _logger.warning("a source of tools does not answer", extra={"source": source.name, "reason": str(error)})
        return ()


def _nothing(_means: Means) -> tuple[()]:
    return ()


def built_in() -> Iterator[ModuleType]:
    """Imports the modules that come with tool_fn."""
    for found in pkgutil.iter_modules(tools.__path__, f"{tools.__name__}."):
        yield importlib.import_module(found.name)


def _in_folder(folder: Path | None) -> Iterator[ModuleType]:
    """The modules of an operator's folder, by file name; those that begin with an underscore are theirs to import."""
    if folder is None:
        return
    if not folder.is_dir():
        raise SettingsError(f"DORMOUSE_TOOLS_PATH={folder}: wants a folder")
    # A package of its own name, so that its modules can import each other and no name clashes with an installed one.
    package = "operator_tools_" + hashlib.sha256(str(folder).encode()).hexdigest()[:8]
    if package not in sys.modules:
        spec = importlib.util.spec_from_loader(package, loader=None, is_package=True)
        assert spec is not None
        spec.submodule_search_locations = [str(folder)]
        sys.modules[package] = importlib.util.module_from_spec(spec)
    for found in pkgutil.iter_modules([str(folder)], f"{package}."):
        if found.name.rpartition(".")[2].startswith("_"):
            continue
        file = f"{folder / found.name.rpartition('.')[2]}.py"
        try:
            module = importlib.import_module(found.name)
        except Exception as error:
            raise SettingsError(f"{file}: cannot be loaded: {type(error).__name__}: {error}") from error
        if not (hasattr(module, "build_tools") or hasattr(module, "build_sources")):
            raise SettingsError(
                f"{file}: has neither build_tools nor build_sources; the name of a file for others begins with _"
            )
        yield module
