"""What tool_fn gets of a person's environment: its settings, and the variables that the tools' configuration names."""

from pathlib import Path

import pytest
from devstack.services import Program, agent_fn_program, edge_program, tool_fn_program

CONFIG = """
search: {tavily_key_env: MY_SEARCH_KEY}
databases:
  shop: {url_env: "SHOP_DSN", sql: true}
  old:
    url_env : OLD_DSN   # see the wiki
mcp: {servers: {files: {url: "http://127.0.0.1/mcp", "token_env": 'FILES_TOKEN'}}}
"""
NAMED = ("MY_SEARCH_KEY", "SHOP_DSN", "OLD_DSN", "FILES_TOKEN", "TAVILY_API_KEY")
OTHERS = ("SECRET_OF_MINE", "AWS_SECRET_ACCESS_KEY", "shop", "PYTHONPATH")


def tools(environ: dict[str, str]) -> Program:
    return tool_fn_program(
        environ, listen="127.0.0.1:1", metrics_listen="", trusted_keys=Path("/keys"), postgres_url="postgresql://app"
    )


def edge(environ: dict[str, str], files: str = "") -> Program:
    return edge_program(
        environ,
        listen="",
        metrics_listen="",
        agent_target="",
        service_key=Path("/key"),
        pepper=Path("/pepper"),
        postgres_url="",
        redis_url="",
        tool_target="127.0.0.1:1",
        files=files,
    )


def test_the_variables_that_the_configuration_names_reach_tool_fn_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text(CONFIG)
    environ = dict.fromkeys(NAMED + OTHERS, "x") | {"DORMOUSE_TOOLS_CONFIG": str(path), "DORMOUSE_LOG_LEVEL": "debug"}
    given = tools(environ).env
    assert {name for name in given if not name.startswith("DORMOUSE_")} == {*NAMED, "PYTHONUNBUFFERED"}
    assert given["DORMOUSE_LOG_LEVEL"] == "debug"
    for program in (
        agent_fn_program(
            environ,
            listen="",
            metrics_listen="",
            trusted_keys=Path("/keys"),
            postgres_url="",
            ollama_host="",
            tool_target="127.0.0.1:1",
        ),
        edge(environ),
    ):
        assert program.env["DORMOUSE_TOOL_TARGET"] == "127.0.0.1:1"
        assert not {*NAMED, *OTHERS, "DORMOUSE_TOOLS_CONFIG"} & {*program.env}


def test_a_configuration_cannot_replace_what_tool_fn_is_wired_with(tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text("databases: {own: {url_env: DORMOUSE_POSTGRES_URL}}")
    given = tools({"DORMOUSE_TOOLS_CONFIG": str(path), "DORMOUSE_POSTGRES_URL": "postgresql://owner"}).env
    assert given["DORMOUSE_POSTGRES_URL"] == "postgresql://app"


def test_relative_paths_begin_where_the_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = tools({"DORMOUSE_TOOLS_CONFIG": "conf/tools.yaml", "DORMOUSE_TOOLS_PATH": "tools"}).env
    assert given["DORMOUSE_TOOLS_CONFIG"] == str(tmp_path / "conf" / "tools.yaml")
    assert given["DORMOUSE_TOOLS_PATH"] == str(tmp_path / "tools")
    assert "DORMOUSE_TOOLS_PATH" not in tools({"DORMOUSE_TOOLS_PATH": ""}).env


def test_the_edge_gets_the_variables_of_aws_only_where_files_are_kept_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"AWS_SECRET_ACCESS_KEY": "x", "DORMOUSE_FILES": "of the person's own"}
    assert edge(environ, "s3://bucket/files").env["AWS_SECRET_ACCESS_KEY"] == "x"
    assert edge(environ, "s3://bucket/files").env["DORMOUSE_FILES"] == "s3://bucket/files"
    assert "AWS_SECRET_ACCESS_KEY" not in edge(environ, "files").env
    assert edge(environ, "files").env["DORMOUSE_FILES"] == str(tmp_path / "files")
    assert "DORMOUSE_FILES" not in edge(environ).env
