"""The registry finds tools in modules and sources, refuses two of one name, and heeds the operator's configuration."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from dormouse_runtime.identity import Identity
from dormouse_runtime.settings import SettingsError
from tool_fn.config import Config, Secrets
from tool_fn.databases import Databases
from tool_fn.effects import Effects
from tool_fn.invoker import Invoker
from tool_fn.ledger.ledger import Ledger
from tool_fn.means import Means
from tool_fn.meter import ToolMeter
from tool_fn.registry import Registry
from tool_fn.runner import Runner
from tool_fn.tool import Call, Tool, ToolError
from tool_fn.web import Guard, Rules, WebClient
from tool_fn.workers import Workers

ONE_TOOL = """
from tool_fn.arguments import Arguments
from tool_fn.tool import Call, typed_tool

class Nothing(Arguments):
    pass

async def run(arguments: Nothing, call: Call) -> str:
    return "{text}"

def build_tools(means):
    yield typed_tool(name="{name}", description="For tests.", input=Nothing, run=run)
"""


async def answer(arguments: bytes, call: Call) -> str:
    return "answer"


def tool(name: str, **flags: Any) -> Tool:
    return Tool(name, "For tests.", {"type": "object"}, answer, **flags)


def means(config: Config | None = None) -> Means:
    return Means(
        config or Config(), Secrets({}), WebClient(Guard(Rules()), 1000), Workers(), Databases({}, Secrets({}))
    )


class Source:
    name, prefix = "files", "files_"

    def __init__(self, *offered: Tool) -> None:
        self.offered: Sequence[Tool] | ToolError = offered

    async def tools(self) -> Sequence[Tool]:
        if isinstance(self.offered, ToolError):
            raise self.offered
        return self.offered


async def names(registry: Registry) -> list[str]:
    return [tool.name for tool in await registry.tools()]


async def test_tools_come_sorted_and_are_found_by_name() -> None:
    registry = Registry(means(), [tool("b"), tool("a")])
    assert await names(registry) == ["a", "b"]
    found = await registry.find("b")
    assert found is not None
    assert found.name == "b"
    assert await registry.find("c") is None


async def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError, match="two tools with the name 'a'"):
        Registry(means(), [tool("a"), tool("a")])


async def test_the_configuration_takes_tools_away_and_decides_about_approval() -> None:
    config = Config(approval={"a": True, "b": False, "sql": True}, disabled=frozenset({"c"}))
    tools = [tool("a"), tool("b", needs_approval=True), tool("c")]
    registry = Registry(means(config), tools, absent={"sql"})
    assert [(tool.name, tool.needs_approval) for tool in await registry.tools()] == [("a", True), ("b", False)]
    assert await registry.find("c") is None


@pytest.mark.parametrize("config", [Config(approval={"pyton": True}), Config(disabled=frozenset({"pyton"}))])
def test_a_misspelt_tool_is_not_left_unguarded(config: Config) -> None:
    with pytest.raises(SettingsError, match="there is no tool 'pyton'; there are: python"):
        Registry(means(config), [tool("python")], [Source()])


async def test_a_source_stands_behind_the_built_in_tools_and_may_come_and_go(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    source = Source(tool("files_b", needs_approval=True), tool("a"), tool("files_x"))
    config = Config(approval={"files_b": False}, disabled=frozenset({"files_x"}))
    registry = Registry(means(config), [tool("a")], [source])
    for _ in range(2):
        assert await names(registry) == ["a", "files_b"]
    found = await registry.find("files_b")
    assert found is not None
    assert not found.needs_approval
    assert [record.message for record in caplog.records] == ["a tool is left out: another one has its name"]
    source.offered = ToolError("away")
    assert await names(registry) == ["a"]
    assert await registry.find("files_b") is None


async def test_what_a_run_is_told_of_is_made_ready_once() -> None:
    expected: list[str] = []
    tools = [replace(tool(name), expect=partial(expected.append, name)) for name in ("slow", "secret")]
    runner = Runner(ToolMeter(), 1)
    invoker = Invoker(Registry(means(), tools), runner, Effects(Ledger("", 1), runner, ToolMeter()))
    scopes = frozenset({"tool:slow"})
    await invoker.tools(Identity("acme", "ada", scopes, "", "edge"))  # who only looks calls nothing
    assert expected == []
    for run in ("run_1", "run_2"):
        await invoker.tools(Identity("acme", "ada", scopes, run, "edge"))
    assert expected == ["slow"]


async def test_the_built_in_modules_are_found() -> None:
    assert await names(Registry.build(means())) == sorted(set(await names(Registry.build(means()))))


async def test_an_operators_folder_adds_its_files(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(ONE_TOOL.format(name="operator_one", text="one"))
    (tmp_path / "_parts.py").write_text(ONE_TOOL.format(name="operator_two", text="two"))
    (tmp_path / "two.py").write_text("from ._parts import build_tools\n")
    (tmp_path / "_broken.py").write_text("raise RuntimeError('nobody imports it')")
    found = await Registry.build(means(), tmp_path).find("operator_two")
    assert found is not None
    assert await found.invoke(b"{}", Call("t", "u", "r", "", 0.0)) == "two"
    assert "operator_one" in await names(Registry.build(means(), tmp_path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_module", "broken.py: cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def", "broken.py: cannot be loaded: SyntaxError"),
        (ONE_TOOL.format(name="Bad Name", text=""), "broken.py: tool 'Bad Name'"),
        ("def build_tool(means): ...", "broken.py: has neither build_tools nor build_sources"),
    ],
)
def test_an_operators_file_that_is_broken_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(SettingsError) as refused:
        Registry.build(means(), tmp_path)
    assert said in str(refused.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"DORMOUSE_TOOLS_PATH=.*wants a folder"):
        Registry.build(means(), tmp_path / "none")
