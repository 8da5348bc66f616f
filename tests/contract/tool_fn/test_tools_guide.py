"""The guide of the tools holds what is true: its configuration is read, and its example is a tool."""

import re
from pathlib import Path

import pytest
from devstack.errors import StartError
from tool_fn.config import Config, read_config

from tests.contract.tool_fn.caller import calling
from tests.stack import Fleet, Stack, Tenant

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "tools.md"


def block(language: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_the_configuration_names_every_field_and_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text(block("yaml"))
    config, default = read_config(path), Config()
    assert (config.http, config.search, config.wikipedia, config.weather) == (
        *(default.http, default.search, default.wikipedia, default.weather),
    )
    parts = (config, config.databases["shop"], config.lookups[0], config.mcp, config.mcp.servers["files"])
    for part in (*parts, config.http, config.search, config.wikipedia, config.weather):
        for field in part.__struct_fields__:
            assert re.search(rf"^[- ]*{field}:", path.read_text(), re.MULTILINE), field


async def test_the_example_is_a_tool(stack: Stack, fleet: Fleet, tenant: Tenant, tmp_path: Path) -> None:
    (tmp_path / "ticket_price.py").write_text(block("python"))
    tool_fn = await fleet.tool_fn(folder=tmp_path)
    async with calling(stack, tool_fn, tenant) as caller:
        assert "ticket_price" in await caller.tools()
        price = await caller.invoke("ticket_price", visitors={"adult": 2, "child": 1}, day="weekend")
        assert (price.content, price.is_error) == ("46 euros on a weekend.", False)
        nobody = await caller.invoke("ticket_price", visitors={})
        assert (nobody.content[:12], nobody.is_error) == ("Nobody comes", True)
        dog = await caller.invoke("ticket_price", visitors={"dog": 1})
        assert "Invalid enum value 'dog'" in dog.content


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("broken.py", "import no_such_library", "broken.py: cannot be loaded: ModuleNotFoundError"),
        ("python.py", block("python").replace("ticket_price", "math"), "there are two tools with the name 'math'"),
    ],
)
async def test_a_folder_that_cannot_be_used_ends_the_start_and_says_why(
    fleet: Fleet, tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(StartError) as refused:
        await fleet.tool_fn(folder=tmp_path)
    assert any(said in line for line in refused.value.log)


async def test_a_mistake_in_the_configuration_ends_the_start_and_says_where(fleet: Fleet, tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text("databases: {shop: {url_env: SHOP_DSN, sql: 'yes'}}")
    with pytest.raises(StartError) as refused:
        await fleet.tool_fn(config=path)
    assert refused.value.log == [f"bad settings: {path}: databases.shop.sql: Expected `bool`, got `str`"]
