"""The environment of tool_fn."""

from pathlib import Path

import pytest
from dormouse_runtime.settings import SettingsError
from tool_fn.config import Config
from tool_fn.settings import Settings


def test_everything_has_a_default() -> None:
    settings = Settings.from_env({})
    assert settings.config == Config()
    assert dict(settings.secrets) == {}
    assert settings.tools_path is None
    assert (settings.postgres_url, settings.embed_target) == ("", "")
    assert (settings.most_running, settings.kept_days) == (64, 7)


def test_the_file_and_its_secrets_are_read_once_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text("databases: {shop: {url_env: SHOP_DSN}}\n")
    environ = {
        "DORMOUSE_TOOLS_CONFIG": str(path),
        "DORMOUSE_TOOLS_PATH": str(tmp_path),
        "SHOP_DSN": "postgresql://reader:hidden@shop/shop",
        "TAVILY_API_KEY": "tvly-hidden",
        "DORMOUSE_POSTGRES_URL": "postgresql://app@db/dormouse",
        "DORMOUSE_EMBED_TARGET": "127.0.0.1:1",
        "DORMOUSE_MAX_RUNNING_TOOLS": "3",
        "DORMOUSE_TOOL_CALLS_KEPT_DAYS": "30",
    }
    settings = Settings.from_env(environ)
    assert settings.config.databases["shop"].url_env == "SHOP_DSN"
    assert settings.secrets["SHOP_DSN"] == environ["SHOP_DSN"]
    assert settings.secrets["TAVILY_API_KEY"] == "tvly-hidden"
    assert (settings.tools_path, settings.embed_target) == (tmp_path, "127.0.0.1:1")
    assert (settings.most_running, settings.kept_days) == (3, 30)
    assert "tvly-hidden" not in repr(settings)
    assert "reader:hidden" not in repr(settings)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"DORMOUSE_POSTGRES_URL": "mysql://db"}, "DORMOUSE_POSTGRES_URL: wants a URL that begins with postgresql://"),
        ({"DORMOUSE_MAX_RUNNING_TOOLS": "0"}, "DORMOUSE_MAX_RUNNING_TOOLS='0': wants a whole number from 1"),
        ({"DORMOUSE_TOOL_CALLS_KEPT_DAYS": "never"}, "DORMOUSE_TOOL_CALLS_KEPT_DAYS='never': wants a whole number"),
        ({"DORMOUSE_TOOLS_CONFIG": "/no/such/file"}, "DORMOUSE_TOOLS_CONFIG=/no/such/file: No such file"),
    ],
)
def test_a_wrong_variable_is_named_with_what_it_wants(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env(environ)
    assert said in str(refused.value)
