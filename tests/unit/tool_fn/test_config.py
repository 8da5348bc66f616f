"""The operator's file: strict, and errors that say where."""

from pathlib import Path

import pytest
from dormouse_runtime.settings import SettingsError
from tool_fn.config import Config, Database, Http, Lookup, McpServer, Parameter, Secrets, read_config

WHOLE = """
http:      {allow: ["*.example.org"], allow_private: ["127.0.0.1:9000", "[::1]:80"], max_bytes: 2000}
search:    {tavily_url: https://tavily.example.org, tavily_key_env: MY_KEY, searxng_url: "http://127.0.0.1:8888"}
wikipedia: {url: "http://127.0.0.1:1/{language}/api.php", language: de}
weather:   {geocoding_url: http://127.0.0.1:1, forecast_url: http://127.0.0.1:2}
databases: {shop: {url_env: SHOP_DSN, description: "The shop.", sql: true}}
lookups:
  - name: find_user
    description: Finds a user by e-mail.
    database: shop
    sql: select id, name from users where email = %(email)s
    parameters: {email: {type: string, description: The address.}}
    max_rows: 5
mcp:       {servers: {files: {url: "http://127.0.0.1:7/mcp", token_env: FILES_TOKEN, tools: [read], approve: false}}}
own:       {crm_url: "https://crm.example.org", crm_token_env: CRM_TOKEN, tries: 3}
approval:  {http_post: false}
disabled:  [python]
"""


def read(folder: Path, text: str) -> Config:
    path = folder / "tools.yaml"
    path.write_text(text)
    return read_config(path)


def test_the_whole_file_is_read(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE)
    assert config.http == Http(("*.example.org",), ("127.0.0.1:9000", "[::1]:80"), 2000)
    assert config.search.tavily_key_env == "MY_KEY"
    assert config.wikipedia.language == "de"
    assert config.databases == {"shop": Database("SHOP_DSN", "The shop.", True)}
    sql = "select id, name from users where email = %(email)s"
    lookup = Lookup("find_user", "Finds a user by e-mail.", "shop", sql, {"email": Parameter("The address.")}, 5)
    assert config.lookups == (lookup,)
    assert config.mcp.servers == {"files": McpServer("http://127.0.0.1:7/mcp", "FILES_TOKEN", ("read",), False)}
    assert config.own == {"crm_url": "https://crm.example.org", "crm_token_env": "CRM_TOKEN", "tries": 3}
    assert config.approval == {"http_post": False}
    assert config.disabled == frozenset({"python"})


@pytest.mark.parametrize("text", ["", "# nothing\n", "http:\nsearch:\n", "{}"])
def test_what_is_not_there_has_a_default(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == Config() == read_config(None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("htp: {}", "unknown field `htp`"),
        ("http: {alow: []}", "http: Object contains unknown field `alow`"),
        ("http: {allow: '*'}", "http.allow: Expected `array`"),
        ("http: {allow_private: [10.0.0.1]}", "http.allow_private[0]: Expected `str` matching"),
        ("http: {max_bytes: 1e3}", "http.max_bytes: Expected `int`"),
        ("search: {searxng_url: search.example.org}", "search.searxng_url: Expected `str` matching"),
        ("databases: {a: {url_env: A}, b: {url_env: B, sql: 3}}", "databases.b.sql: Expected `bool`, got `int`"),
        ("databases: {a: {url_env: A}, B: {url_env: B}}", "databases.B: Expected `str` matching"),
        ("databases: {a: {url_env: 'postgresql://u:p@h/d'}}", "databases.a.url_env: Expected `str` matching"),
        ("mcp: {servers: {a: {url: 'ftp://a'}}}", "mcp.servers.a.url: Expected `str` matching"),
        ("lookups: [{name: a, description: b, database: c, sql: d}]", "lookups[0].database: there is no database 'c'"),
        (WHOLE.replace("type: string", "type: text"), "lookups[0].parameters.email.type: Invalid enum value 'text'"),
        ("own: {crm: {url: a}}", "own.crm: Expected `bool | int | float | str`"),
        ("approval: {http_post: never}", "approval.http_post: Expected `bool`"),
        ("1: {}", "1: Expected `str` (of the name itself)"),
        ("http: {}\nhttp: {}", "line 2: 'http' is there twice"),
        ("http: {\n", "line 2:"),
        ("\thttp: {}", "line 1:"),
        ("- http", "wants sections such as `http:`, not list"),
        ("!!python/object:os.system {}", "line 1: could not determine a constructor"),
    ],
)
def test_an_error_names_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(tmp_path, text)
    assert str(refused.value).startswith(str(tmp_path / "tools.yaml") + ":")
    assert said in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"DORMOUSE_TOOLS_CONFIG=.*none\.yaml: No such file"):
        read_config(tmp_path / "none.yaml")
    (tmp_path / "latin").write_bytes(b"http: {} # \xe9")
    with pytest.raises(SettingsError, match="is not UTF-8"):
        read_config(tmp_path / "latin")


def test_secrets_come_from_the_environment_and_are_not_printed(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE)
    environ = {"SHOP_DSN": "postgresql://u:hidden@h/d", "FILES_TOKEN": "hidden", "CRM_TOKEN": "hidden"}
    secrets = Secrets.collect(config, Path("tools.yaml"), environ | {"OTHER": "x"})
    assert dict(secrets) == environ
    assert "hidden" not in repr(secrets)
    for place, name in (("databases.shop.url_env", "SHOP_DSN"), ("own.crm_token_env", "CRM_TOKEN")):
        with pytest.raises(SettingsError, match=f"tools.yaml: {place}: the environment variable {name} is not set"):
            Secrets.collect(config, Path("tools.yaml"), {key: "x" for key in environ if key != name})
