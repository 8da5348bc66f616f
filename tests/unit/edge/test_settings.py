"""The environment as the edge reads it."""

from pathlib import Path

import pytest
from dormouse_runtime.settings import Address, SettingsError
from edge.settings import load


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    (tmp_path / "key.json").write_text("{}")
    (tmp_path / "pepper").write_text("p" * 32)
    monkeypatch.setenv("DORMOUSE_AGENT_TARGET", "127.0.0.1:1")
    monkeypatch.setenv("DORMOUSE_SERVICE_KEY", str(tmp_path / "key.json"))
    monkeypatch.setenv("DORMOUSE_KEY_PEPPER", str(tmp_path / "pepper"))
    monkeypatch.setenv("DORMOUSE_POSTGRES_URL", "postgresql://u@h/d")
    monkeypatch.setenv("DORMOUSE_REDIS_URL", "unix:///tmp/valkey.sock")
    return monkeypatch


def test_what_is_left_out_has_a_default(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DORMOUSE_METRICS_LISTEN", "")
    settings = load()
    assert settings.edge_listen == Address("127.0.0.1", 8080)
    assert settings.metrics_listen is None
    assert settings.max_body_bytes == 8 * 1024 * 1024
    assert len(settings.replica_id) == 12
    assert settings.replica_id != load().replica_id


def test_lists_are_separated_by_commas(environment: pytest.MonkeyPatch) -> None:
    assert (load().tool_target, load().mcp_origins) == (None, ())
    environment.setenv("DORMOUSE_TOOL_TARGET", "dns:///tool-fn:80")
    environment.setenv("DORMOUSE_MCP_ORIGINS", " https://a.example,, http://b.example:3000 ")
    assert load().mcp_origins == ("https://a.example", "http://b.example:3000")
    assert load().tool_target == "dns:///tool-fn:80"


@pytest.mark.parametrize(("listen", "host"), [("0.0.0.0:0", "0.0.0.0"), ("[::1]:8080", "::1"), ("edge:80", "edge")])
def test_addresses_are_read(environment: pytest.MonkeyPatch, listen: str, host: str) -> None:
    environment.setenv("DORMOUSE_EDGE_LISTEN", listen)
    assert load().edge_listen.host == host


@pytest.mark.parametrize(
    ("name", "value", "wants"),
    [
        ("DORMOUSE_EDGE_LISTEN", "8080", "host:port"),
        ("DORMOUSE_METRICS_LISTEN", "x:99999", "port"),
        ("DORMOUSE_RUN_LOG_TTL_S", "soon", "integer"),
        ("DORMOUSE_RUN_LOG_DAYS", "0", "greater than or equal to 1"),
        ("DORMOUSE_LEASE_S", "0", "greater than 0"),
        ("DORMOUSE_SERVICE_KEY", "/nowhere/key.json", "/nowhere/key.json"),
        ("DORMOUSE_POSTGRES_URL", "mysql://x", "postgresql://"),
        ("DORMOUSE_REDIS_URL", "localhost:6379", "redis://"),
        ("DORMOUSE_LOG_LEVEL", "loud", "debug"),
        ("DORMOUSE_REPLICA_ID", "a b", "pattern"),
        ("DORMOUSE_TRUSTED_PROXIES", "10.0.0.0/8, proxy", "wants addresses or networks such as"),
        ("DORMOUSE_CORS_ORIGINS", "https://a.example, b.example", "wants origins such as"),
        ("DORMOUSE_TLS_CERTIFICATE", "/nowhere/tls.crt", "/nowhere/tls.crt"),
    ],
)
def test_an_error_names_the_variable_and_what_it_wants(
    environment: pytest.MonkeyPatch, name: str, value: str, wants: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load()
    assert name in str(caught.value)
    assert wants in str(caught.value)


def test_every_missing_variable_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("DORMOUSE_AGENT_TARGET")
    environment.delenv("DORMOUSE_REDIS_URL")
    with pytest.raises(SettingsError, match=r"DORMOUSE_AGENT_TARGET is not set.*DORMOUSE_REDIS_URL is not set"):
        load()


def test_settings_that_belong_together_are_wanted_together(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("DORMOUSE_CORS_ORIGINS", "*")
    environment.setenv("DORMOUSE_CORS_CREDENTIALS", "true")
    with pytest.raises(SettingsError, match="DORMOUSE_CORS_CREDENTIALS: wants origins by name"):
        load()
    environment.delenv("DORMOUSE_CORS_CREDENTIALS")
    assert load().cors_origins == ("*",)
    (tmp_path / "tls.crt").write_text("x")
    environment.setenv("DORMOUSE_TLS_CERTIFICATE", str(tmp_path / "tls.crt"))
    with pytest.raises(SettingsError, match="DORMOUSE_TLS_KEY: want to be set both"):
        load()
